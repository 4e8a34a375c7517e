"""What a step logs, averaged over all processes, and what it costs, in seconds and tokens by kind of work.

No number of the log depends on how the micro-batch is spread over processes.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers import TrainerCallback

from trulysafe.common.files import write_json
from trulysafe.trainers.step_cost import COST_FILE

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
    values = values.detach().float()
    return torch.stack([values.sum(), torch.tensor(float(values.numel()), device=values.device)])


@dataclass
class Meter:
    """What a run took by kind of work, on this process; a resumed run measures its own steps.

    Attributes:
        steps: optimiser steps measured.
        seconds: wall time; ``step`` is the whole of a step, with all other kinds in it.
        tokens: that went through the model; for ``reading`` responses.
    """

    steps: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """Add the wall time of a block to a kind of work."""
        start = _now()
        yield
        self.seconds[kind] += _now() - start  # type: ignore[assignment]

    def count(self, **masks: Any) -> None:
        """Add the tokens of attention masks, tensors of 0 and 1, to kinds of work; None has none."""
        self.tokens.update({kind: int(mask.sum()) for kind, mask in masks.items() if mask is not None})

    def reset(self) -> None:
        """Forget what was measured so far."""
        self.steps, self.seconds, self.tokens = 0, Counter(), Counter()

    def of_all_processes(self) -> Self:
        """Steps and seconds of this process, and the tokens of all of them together; every process must ask."""
        tokens: Counter[str] = sum(map(Counter, gather_object([dict(self.tokens)])), Counter())
        return type(self)(self.steps, self.seconds, tokens)

    def save(self, folder: Path, model: Any) -> None:
        """Write ``cost.json`` into the folder of a run: steps, seconds and tokens by kind, and the model's size."""
        config = model.config.get_text_config()
        about = {"parameters": _parameters(model), "layers": int(config.num_hidden_layers)}
        write_json(folder / COST_FILE, vars(self) | about | {"hidden_size": int(config.hidden_size)})


class MeterSteps(TrainerCallback):
    """Times whole optimiser steps; the first ``left_out`` ones are left out where there are more: the first sets up the
    optimiser, and where several steps share what was sampled for them, as many are one."""

    def __init__(self, meter: Meter, left_out: int = 1) -> None:
        self.meter, self._start = meter, 0.0
        self._left_out = self._to_leave = left_out

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self._start = _now()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop it."""
        if self._to_leave and state.max_steps > self._left_out:
            self.meter.reset()
        else:
            self.meter.steps += 1
            self.meter.seconds["step"] += _now() - self._start  # type: ignore[assignment]
        self._to_leave = max(self._to_leave - 1, 0)


def _parameters(model: torch.nn.Module) -> int:
    """Number of parameters without embeddings; a parameter that ZeRO-3 has spread over processes counts whole."""
    embeddings = {id(part.weight) for part in model.modules() if isinstance(part, torch.nn.Embedding)}
    others = [parameter for parameter in model.parameters() if id(parameter) not in embeddings]
    return sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in others)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter()
