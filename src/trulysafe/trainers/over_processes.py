"""What a training step does over all processes together: gather rows, average, log."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class OverProcesses:
    """Mixin of a TRL trainer. The micro-batch is that of all processes: nothing that is gathered or averaged depends on how it is spread."""

    accelerator: Any
    model: Any
    _metrics: Any

    @property
    def _training(self) -> bool:
        return bool(self.model is not None and self.model.training)

    def _gather(self, value: Tensor) -> Tensor:
        """Rows of all processes in rank order, which is the order of the micro-batch; detached."""
        return self.accelerator.gather(value.detach().contiguous()) if self.accelerator.num_processes > 1 else value

    def _record(self, **values: Tensor) -> None:
        """Add the mean over all processes to TRL's metrics; values of no rows add nothing."""
        mode = "train" if self._training else "eval"
        for name, value in values.items():
            mean = self._mean(value)
            if mean is not None:
                self._metrics[mode][name].append(mean)

    def _mean(self, value: Tensor) -> float | None:
        """Mean over the values of all processes; none if there are no values."""
        total = torch.stack([value.float().sum(), torch.tensor(float(value.numel()), device=value.device)])
        total = self.accelerator.reduce(total.to(self.accelerator.device), "sum")
        return float(total[0] / total[1]) if total[1] > 0 else None
