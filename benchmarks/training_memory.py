"""Training alone: tokens a second, share of the device's rate and peak memory, of all weights and of a LoRA adapter."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from benchmarks.inputs import RANDOM, loaded, options, pair_columns
from benchmarks.machine import forget_peak, matmul, peak_bytes
from benchmarks.measure import Way, interleaved
from benchmarks.training_step import SIZES, Steps, our_arguments, our_dataset, our_trainer, step_flops
from peft import LoraConfig

from trulysafe.methods.method import DPO
from trulysafe.models.tokens import length

WAYS = {
    "tiny": ("full", "lora"),
    "demo": ("full", "lora"),
    "smollm2": ("full", "lora"),
    "1b": ("full", "lora"),
    "8b": ("lora",),
}
"""What fits: all weights in float32 with their optimiser take 16 bytes each."""


def measured(given: Any, kind: str) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of a step beside those of its bound, and facts."""
    on_gpu = given.device == "cuda"
    model, tokenizer = loaded(given.model, "bfloat16" if kind == "lora" and on_gpu else "float32")
    pairs, words, longest = SIZES[given.model]
    encoded = pair_columns(tokenizer, pairs, words, longest)
    tokens = sum(length(item) for side in encoded.values() for item in side)
    flops = step_flops(model.config, encoded)
    if kind == "lora":  # gradients of the frozen weights are not computed: a third of the work falls away
        flops *= 2 / 3
    peft = (
        LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear") if kind == "lora" else None
    )
    with tempfile.TemporaryDirectory() as folder:
        data = our_dataset(model, tokenizer, encoded)
        forget_peak()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        args = our_arguments(folder, pairs, given.device)
        trainer = our_trainer(model, tokenizer, data, DPO, args, peft)
        trained = [weight for weight in trainer.model.parameters() if weight.requires_grad]
        optimiser, steps = torch.optim.AdamW(trained, lr=0.0, fused=True), Steps(trainer, pairs)
        dtype = torch.bfloat16 if on_gpu else torch.float32
        ways = {"ours": Way(lambda: steps.run(optimiser)), "matrix products alone": matmul(dtype, given.device, flops)}
        seconds = interleaved(ways, 2 if given.quick else 3 if given.device == "cpu" else 7)
        peak = torch.cuda.max_memory_allocated() if on_gpu else peak_bytes()
    median = sorted(seconds["ours"])[len(seconds["ours"]) // 2]
    weights = float(sum(weight.numel() for weight in trainer.model.parameters()))
    facts = {"tokens a second": tokens / median, "peak GiB": peak / 2**30, "weights": weights, "tokens": float(tokens)}
    return seconds, facts


def main() -> None:
    """Measure and record."""
    given, record = options("training_memory", __doc__ or "", ("demo", "smollm2", *RANDOM))
    for kind in WAYS[given.model]:
        seconds, facts = measured(given, kind)
        told = "FLOPs of forward and backward at the rate of large products"
        bound = record.compare(
            f"DPO, {kind}: against the bound",
            seconds,
            "ours",
            "matrix products alone",
            unit="step",
            bound=told,
            **facts,
        )
        record.note(f"DPO, {kind}", mfu=1 / bound.median, **facts)
        if given.device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
