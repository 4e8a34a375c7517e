"""Two parts of a training step: the head at response places alone, and rows of like length together.

On a CPU the package does both. On a GPU it gives all rows to the model at once, as DDP and DeepSpeed expect: there the
third way shows what rows of like length, each group a forward of its own, would change.
"""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import torch
from benchmarks.inputs import RANDOM, loaded, options, pair_columns
from benchmarks.measure import Way, interleaved
from trl.trainer.utils import add_fused_lm_head

from trulysafe.models.tokens import padded
from trulysafe.trainers import forward

SIZES = {"demo": (16, 20, 60), "smollm2": (4, 30, 90), "tiny": (4, 8, 16), "1b": (16, 120, 400), "8b": (4, 120, 400)}
"""Pairs, words of a response: median and most."""
SPARED = 2048
"""Tokens of padding that a further group must spare on a GPU, where a pass costs little beside its tokens."""


def main() -> None:
    """Measure and record."""
    given, record = options("training_forward", __doc__ or "", ("demo", "smollm2", *RANDOM))
    on_gpu = given.device == "cuda"
    model, tokenizer = loaded(given.model, "bfloat16" if on_gpu else "float32")
    add_fused_lm_head(model.train(), outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    pairs, words, longest = SIZES[given.model]
    items = [item for side in pair_columns(tokenizer, pairs, words, longest).values() for item in side]
    ids, attention = (
        columns.to(model.device) for columns in padded([item.ids for item in items], tokenizer.pad_token_id)
    )
    completion = torch.zeros_like(ids)
    for row, item in enumerate(items):
        completion[row, len(item.prompt_ids) : len(item.ids)] = 1

    def everywhere() -> None:
        """TRL's own: the head at every place of one padded batch."""
        scored = attention if on_gpu else completion  # a CPU's head scores every place, whatever the labels say
        labels = ids.masked_fill(scored == 0, -100)
        found = model(input_ids=ids, attention_mask=attention, labels=labels, fused_lm_head=True, use_cache=False)
        _learn(found.log_probs * completion[:, 1:])

    def parted(spared: int) -> None:
        with mock.patch.object(forward, "TOKENS_OF_A_PASS", spared):
            _learn(forward.token_log_probs(model, ids, attention, completion))

    def grouped() -> None:
        with mock.patch.object(forward, "TOKENS_OF_A_PASS", SPARED):
            groups, lengths = forward.of_like_length(attention.sum(dim=1).cpu())
        for rows, length in zip(groups, lengths, strict=True):
            part = (columns[rows.to(ids.device), :length] for columns in (ids, attention, completion))
            (-forward.token_log_probs(model, *part).sum()).backward()
        model.zero_grad()

    def _learn(log_probs: torch.Tensor) -> None:
        (-log_probs.sum()).backward()
        model.zero_grad()

    ours = forward.TOKENS_OF_A_PASS
    like: Callable[[], None] = grouped if on_gpu else lambda: parted(ours)
    ways = {
        "like lengths": Way(like),
        "one padded batch": Way(lambda: parted(10**9)),
        "TRL's head": Way(everywhere),
    }
    seconds = interleaved(ways, 2 if given.quick else 9)
    record.compare(
        "response places alone: against the head at all places", seconds, "one padded batch", "TRL's head", unit="step",
        bound="forward and backward of the layers, and of the head where a response stands",
    )  # fmt: skip
    record.compare(
        "like lengths: against one padded batch", seconds, "like lengths", "one padded batch", unit="step",
        bound="forward and backward of the layers at all tokens that are no padding; a pass more for each group",
    )  # fmt: skip


if __name__ == "__main__":
    main()
