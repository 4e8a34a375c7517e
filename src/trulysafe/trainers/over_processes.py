"""What a training step does over all processes together: gather rows, average, log."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

COUNTED = "count/"
"""Metrics of this prefix are summed between two rows of the log; TRL averages the others over micro-batches."""


class OverProcesses:
    """Mixin of a TRL trainer. The micro-batch is that of all processes: nothing that is gathered or averaged depends on how it is spread."""

    accelerator: Any
    model: Any
    _metrics: Any
    _recorded: dict[str, Tensor]

    @property
    def _training(self) -> bool:
        return bool(self.model is not None and self.model.training)

    def _gather(self, value: Tensor) -> Tensor:
        """Rows of all processes in rank order, which is the order of the micro-batch; detached."""
        return self.accelerator.gather(value.detach().contiguous())

    def _record(self, **values: Tensor) -> None:
        """Log means over the values of all processes; no values add nothing. Every process records the same names in the same order."""
        self._recorded |= {name: _sum_and_number(value) for name, value in values.items()}

    def _count(self, **values: Tensor) -> None:
        """Log how many values are true in all processes, summed up since the row of the log before; 0 is a count."""
        self._recorded |= {f"{COUNTED}{name}": _sum_and_number(value) for name, value in values.items()}

    def _pass_on_recorded(self) -> None:
        """Hand what was recorded in a micro-batch to TRL's metrics, in one reduction for all of it."""
        if not self._recorded:
            return
        sums = torch.stack([pair.to(self.accelerator.device) for pair in self._recorded.values()])
        metrics = self._metrics["train" if self._training else "eval"]
        for name, (total, number) in zip(self._recorded, self.accelerator.reduce(sums, "sum").tolist(), strict=True):
            if name.startswith(COUNTED):
                metrics[name] = [sum(metrics[name]) + total]
            elif number:
                metrics[name].append(total / number)
        self._recorded = {}

    def _mean(self, value: Tensor) -> float | None:
        """Mean over the values of all processes; none if there are no values."""
        total, number = self.accelerator.reduce(_sum_and_number(value).to(self.accelerator.device), "sum").tolist()
        return total / number if number else None


def _sum_and_number(values: Tensor) -> Tensor:
    """Sum and number of values, shape [2]."""
    values = values.detach().float()
    return torch.stack([values.sum(), torch.tensor(float(values.numel()), device=values.device)])
