"""PPO: a batch of fresh responses with the optimiser's steps on it, which is its unit of work.

The learning rate is 0, so that every batch is of the same policy. A response that the limit cuts off counts too.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from benchmarks.inputs import loaded, options, pair_columns, pair_dataset
from benchmarks.machine import forward_flops, matmul
from benchmarks.measure import Way, interleaved
from transformers import PrinterCallback

from trulysafe.config.launch import Launch
from trulysafe.config.tables.training import Training
from trulysafe.methods.method import Method
from trulysafe.methods.parts import Mask
from trulysafe.methods.sampled import Online, Ppo
from trulysafe.reward.model import HybridReward
from trulysafe.train.arguments import ppo_arguments
from trulysafe.trainers.ppo import PpoTrainer
from trulysafe.trainers.ppo_inputs import prompts_in_order

SIZES = {"demo": (8, 4, 40), "smollm2": (2, 4, 24), "tiny": (2, 4, 8), "1b": (4, 4, 64)}
"""Prompts of a batch, samples of each, new tokens at most."""
EPOCHS = 4
METHODS = {"PPO": Mask(), "PPO with AMA's mask": Mask(rule="advantage")}


def trainer_of(model: Any, tokenizer: Any, folder: str, size: tuple[int, int, int], mask: Mask) -> PpoTrainer:
    """A trainer of one batch and its :data:`EPOCHS` steps; a random reward costs what a fitted one does."""
    prompts, samples, new = size
    online = Online(samples=samples, max_new_tokens=new)
    method = Method(loss="ppo", online=online, ppo=Ppo(epochs=EPOCHS, missing_eos_penalty=1.0), mask=mask)
    options = {"steps": EPOCHS, "batch_size": prompts, "accumulation": 1, "bf16": model.device.type == "cuda"}
    training = Training(**options).model_dump()
    rows = pair_dataset(tokenizer, pair_columns(tokenizer, prompts))
    asked = prompts_in_order(rows, EPOCHS, prompts, EPOCHS, 0)
    torch.manual_seed(0)
    reward = HybridReward(model.config.num_hidden_layers, model.config.hidden_size)
    arguments = ppo_arguments(training, 0, Path(folder), Launch(), method)
    arguments.learning_rate = 0.0
    given: dict[str, Any] = {"args": arguments, "train_dataset": asked, "processing_class": tokenizer}
    trainer = PpoTrainer(model, method=method, reward_model=reward, **given)
    trainer.remove_callback(PrinterCallback)
    return trainer


def batch_flops(config: Any, prompts: list[int], samples: int, new: float) -> float:
    """FLOPs that a batch takes at least, for prompts of these lengths and ``new`` tokens a response. Sampling reads
    every token once; the policy before its steps, the start and the critic read them again, the judge too; each step is
    a forward and backward of policy and critic, three times a forward each."""
    rows = [length + new for length in prompts for _ in range(samples)]
    with_head, without = forward_flops(config, rows, len(rows) * new), forward_flops(config, rows)
    sampled = forward_flops(config, prompts) + forward_flops(config, rows, len(rows) * new)
    sampled -= forward_flops(config, prompts) * samples
    return sampled + 2 * with_head + 2 * without + EPOCHS * 3 * (with_head + without)


def main() -> None:
    """Measure and record."""
    given, record = options("ppo_step", __doc__ or "", tuple(SIZES))
    size = SIZES[given.model]
    with tempfile.TemporaryDirectory() as folder:
        trainers = {}
        for name, mask in METHODS.items():
            model, tokenizer = loaded(given.model, "float32")
            trainers[name] = trainer_of(model, tokenizer, folder, size, mask)
        lengths = [len(ids) for ids in trainers["PPO"].train_dataset["prompt"]]
        new = _mean_length(trainers["PPO"])
        dtype = torch.bfloat16 if given.device == "cuda" else torch.float32
        least = matmul(dtype, given.device, batch_flops(trainers["PPO"].model.config, lengths, size[1], new))
        ways = {name: Way(trainer.train) for name, trainer in trainers.items()}
        seconds = interleaved({**ways, "matrix products alone": least}, 2 if given.quick else 3)
    record.compare(
        "with AMA's mask: against PPO, a batch", seconds, "PPO with AMA's mask", "PPO", unit="batch",
        target=("<=", 1.05), bound="forward and backward of policy and critic in every step",
    )  # fmt: skip
    record.compare(
        "PPO: against the bound, a batch", seconds, "PPO", "matrix products alone", unit="batch",
        bound="FLOPs of all its forwards and backwards at the rate of large products",
        **{"responses": size[0] * size[1], "steps": EPOCHS, "tokens a response": new},
    )  # fmt: skip
    meter = trainers["PPO"].meter
    parts = {f"share of {kind}": spent / meter.seconds["step"] for kind, spent in meter.seconds.items()}
    parts.pop("share of step")
    record.note("PPO, what its steps spend beside themselves", **parts)


def _mean_length(trainer: PpoTrainer) -> float:
    """Tokens of a response of the policy, from a batch that is trained on."""
    trainer.train()
    name = "completions/mean_length"
    return statistics.mean(row[name] for row in trainer.state.log_history if name in row)


if __name__ == "__main__":
    main()
