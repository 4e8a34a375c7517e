"""One training step of the demo's model on a CPU: TRL's fused head on all places against the response's places alone.

Both run in turn in one process; the ratio of processor times is the result.
"""

from __future__ import annotations

import statistics
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from trulysafe.trainers.forward import token_log_probs

ROWS, LENGTH, RESPONSE, ROUNDS = 32, 44, range(18, 36), 15


def step(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor, compact: bool) -> float:
    """Processor seconds of one forward and backward pass."""
    start = time.process_time()
    if compact:
        log_probs = token_log_probs(model, ids, torch.ones_like(ids), (labels != -100).long())
    else:
        log_probs = model(input_ids=ids, labels=labels, fused_lm_head=True, use_cache=False).log_probs
    (-log_probs.sum()).backward()
    model.zero_grad()
    return time.process_time() - start


def main() -> None:
    """Print medians and their ratio."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=2304, hidden_size=128, intermediate_size=512, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(shape).train()
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    ids = torch.randint(5, 2000, (ROWS, LENGTH))
    labels = torch.full_like(ids, -100)
    labels[:, RESPONSE] = ids[:, RESPONSE]
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for compact in times:
            times[compact].append(step(model, ids, labels, compact))
    every, some = (statistics.median(times[compact]) for compact in (False, True))
    print(f"all places {every:.3f} s, response places {some:.3f} s, ratio {some / every:.2f}")


if __name__ == "__main__":
    main()
