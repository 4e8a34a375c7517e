"""Two parts of a training step on a CPU: the head at response places alone, and rows of like length together."""

from __future__ import annotations

from unittest import mock

import torch
from benchmarks.inputs import loaded, options, pair_columns
from benchmarks.measure import Way, interleaved
from trl.trainer.utils import add_fused_lm_head

from trulysafe.models.tokens import padded
from trulysafe.trainers import forward

SIZES = {"demo": (16, 20, 60), "smollm2": (4, 30, 90), "tiny": (4, 8, 16)}
"""Pairs, words of a response: median and most."""


def main() -> None:
    """Measure and record."""
    given, record = options("training_forward", __doc__ or "", ("demo", "smollm2", "tiny"))
    model, tokenizer = loaded(given.model, "float32")
    add_fused_lm_head(model.train(), outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    pairs, words, longest = SIZES[given.model]
    items = [item for side in pair_columns(tokenizer, pairs, words, longest).values() for item in side]
    ids, attention = padded([item.ids for item in items], tokenizer.pad_token_id)
    completion = torch.zeros_like(ids)
    for row, item in enumerate(items):
        completion[row, len(item.prompt_ids) : len(item.ids)] = 1

    def everywhere() -> None:
        """TRL's own: the head at every place of one padded batch."""
        labels = ids.masked_fill(completion == 0, -100)
        found = model(input_ids=ids, attention_mask=attention, labels=labels, fused_lm_head=True, use_cache=False)
        _learn(found.log_probs)

    def parted(spared: int) -> None:
        with mock.patch.object(forward, "TOKENS_OF_A_PASS", spared):
            _learn(forward.token_log_probs(model, ids, attention, completion))

    def _learn(log_probs: torch.Tensor) -> None:
        (-log_probs.sum()).backward()
        model.zero_grad()

    ours = forward.TOKENS_OF_A_PASS
    ways = {
        "ours": Way(lambda: parted(ours)),
        "one padded batch": Way(lambda: parted(10**9)),
        "TRL's head": Way(everywhere),
    }
    seconds = interleaved(ways, 2 if given.quick else 9)
    record.compare(
        "response places alone: against the head at all places", seconds, "one padded batch", "TRL's head", unit="step"
    )
    record.compare("like lengths: against one padded batch", seconds, "ours", "one padded batch", unit="step")


if __name__ == "__main__":
    main()
