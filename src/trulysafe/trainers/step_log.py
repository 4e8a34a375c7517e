"""What one step logs and averages over all processes: no number depends on how the micro-batch is spread over them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

COUNTED = "count/"
"""Metrics of this prefix are summed between two rows of the log; TRL averages the others over micro-batches."""


class StepLog:
    """Means and counts of one micro-batch for TRL's metrics; every process records the same names in the same order."""

    def __init__(self, accelerator: Any) -> None:
        self.accelerator = accelerator
        self._recorded: dict[str, Tensor] = {}

    def mean(self, **values: Tensor) -> None:
        """Record means over the values of all processes; where there are no values, nothing is logged."""
        self._recorded |= {name: _sum_and_number(value) for name, value in values.items()}

    def count(self, **values: Tensor) -> None:
        """Record how many values are true in all processes, summed up since the row of the log before; 0 is a count."""
        self._recorded |= {f"{COUNTED}{name}": _sum_and_number(value) for name, value in values.items()}

    def pass_on(self, metrics: Any) -> None:
        """Hand all that was recorded to TRL's metrics (lists by name), in one reduction over the processes."""
        if not self._recorded:
            return
        sums = torch.stack([pair.to(self.accelerator.device) for pair in self._recorded.values()])
        for name, (total, number) in zip(self._recorded, self.accelerator.reduce(sums, "sum").tolist(), strict=True):
            if name.startswith(COUNTED):
                metrics[name] = [sum(metrics[name]) + total]
            elif number:
                metrics[name].append(total / number)
        self._recorded = {}


def rows_of_all(accelerator: Any, rows: Tensor) -> Tensor:
    """Rows of all processes in rank order, which is the order of the micro-batch; detached."""
    return accelerator.gather(rows.detach().contiguous())


def mean_over_all(accelerator: Any, values: Tensor) -> float | None:
    """Mean over the values of all processes; none if there are no values."""
    total, number = accelerator.reduce(_sum_and_number(values).to(accelerator.device), "sum").tolist()
    return total / number if number else None


def _sum_and_number(values: Tensor) -> Tensor:
    """Sum and number of values, shape [2]."""
    values = values.detach().float()
    return torch.stack([values.sum(), torch.tensor(float(values.numel()), device=values.device)])
