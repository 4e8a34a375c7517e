"""Batches of preference pairs: TRL's, plus what our methods read beside the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.dpo_trainer import DataCollatorForPreference

from trulysafe.trainers.batches import WEIGHT
from trulysafe.trainers.mismatched import MISMATCHED_COLUMNS, REFERENCE_SUM, mismatched_pairs

TOKEN_COLUMNS = ("ref_token_logps", "token_rewards")
"""Per-token columns; the dataset holds one list a side, ``chosen_<name>`` and ``rejected_<name>``, as long as the side's ids."""
PAIR_COLUMNS = ("chosen_reward", "rejected_reward", "in_scope", "pair_index", "risk", "flipped")
EXTRA_COLUMNS = (
    *(f"{side}_{name}" for name in TOKEN_COLUMNS for side in ("chosen", "rejected")),
    *PAIR_COLUMNS,
    *MISMATCHED_COLUMNS,
)
"""Columns of the data set beside TRL's. Batches of several processes have ``batches.WEIGHT`` as well."""


@dataclass
class PairCollator(DataCollatorForPreference):
    """Pads the per-token columns into the places of their tokens, so that truncation cuts them like the ids."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return TRL's batch ([chosen; rejected] stacked) and, where the dataset has them, ``TOKEN_COLUMNS`` as float32
        [2 * batch, tokens], ``PAIR_COLUMNS`` as [batch], and the batch of mismatched pairs under names with ``mismatched_`` in front."""
        batch = super().torch_call(examples)
        if MISMATCHED_COLUMNS[0] in examples[0]:
            others = super().torch_call(mismatched_pairs(examples))
            batch |= {f"mismatched_{name}": value for name, value in others.items()}
            sums = [example[REFERENCE_SUM.format(side)] for side in ("chosen", "rejected") for example in examples]
            batch["mismatched_ref_logps"] = torch.tensor(sums, dtype=torch.float32)
        for name in TOKEN_COLUMNS:
            if f"chosen_{name}" in examples[0]:
                rows = [self._placed(example, side, name) for side in ("chosen", "rejected") for example in examples]
                batch[name] = _padded(rows, batch["input_ids"].shape[1])
        for name in (*PAIR_COLUMNS, WEIGHT):
            if name in examples[0]:
                batch[name] = torch.tensor([example[name] for example in examples])
        return batch

    def _placed(self, example: dict[str, Any], side: str, name: str) -> list[float]:
        values, ids = example[f"{side}_{name}"], example[f"{side}_ids"]
        if len(values) != len(ids):
            raise ValueError(f"{side}_{name} has {len(values)} values for {len(ids)} tokens of {side}_ids")
        row = [0.0] * len(example["prompt_ids"]) + list(values)
        if self.max_length is None:
            return row
        return row[: self.max_length] if self.truncation_mode == "keep_start" else row[-self.max_length :]


def _padded(rows: Sequence[list[float]], width: int) -> torch.Tensor:
    return torch.tensor([row + [0.0] * (width - len(row)) for row in rows], dtype=torch.float32)
