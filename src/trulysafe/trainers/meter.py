"""Measures what a training step costs: seconds and tokens by kind of work (:mod:`trulysafe.trainers.step_cost`)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from accelerate.utils import gather_object
from transformers import TrainerCallback

from trulysafe.trainers.step_cost import COST_FILE


@dataclass
class Meter:
    """Seconds and tokens of a run by kind of work, on this process; a resumed run measures its own steps.

    Attributes:
        steps: optimiser steps measured.
        seconds: wall time by kind; ``step`` is the whole of a step, with all other kinds in it.
        tokens: tokens that went through the model, by kind; for ``reading`` responses.
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

    def of_all_processes(self) -> Meter:
        """Steps and seconds of this process, and the tokens of all of them together; every process must ask."""
        tokens: Counter[str] = sum(map(Counter, gather_object([dict(self.tokens)])), Counter())
        return Meter(self.steps, self.seconds, tokens)

    def save(self, folder: Path, model: Any) -> None:
        """Write ``cost.json`` into the folder of a run: steps, seconds and tokens by kind, and the model's size."""
        config = model.config.get_text_config()
        about = {"steps": self.steps, "seconds": dict(self.seconds), "tokens": dict(self.tokens)}
        about |= {"parameters": _parameters(model), "layers": int(config.num_hidden_layers)}
        about |= {"hidden_size": int(config.hidden_size)}
        (folder / COST_FILE).write_text(json.dumps(about, indent=1, sort_keys=True), encoding="utf-8")


class MeterSteps(TrainerCallback):
    """Times whole optimiser steps; the first one, which sets up the optimiser, is left out where there are more."""

    def __init__(self, meter: Meter) -> None:
        self.meter, self._start, self._first = meter, 0.0, True

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self._start = _now()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop it."""
        if self._first and state.max_steps > 1:
            self.meter.reset()
        else:
            self.meter.steps += 1
            self.meter.seconds["step"] += _now() - self._start  # type: ignore[assignment]
        self._first = False


def _parameters(model: torch.nn.Module) -> int:
    """Number of parameters without embeddings; a parameter that ZeRO-3 has spread over processes counts whole."""
    embeddings = {id(part.weight) for part in model.modules() if isinstance(part, torch.nn.Embedding)}
    return sum(
        getattr(parameter, "ds_numel", parameter.numel())
        for parameter in model.parameters()
        if id(parameter) not in embeddings
    )


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter()
