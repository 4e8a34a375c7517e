"""Checkpoints that say when they are complete, and from which a run goes on exactly.

A checkpoint is written file by file and can be cut short anywhere. The last thing written is :data:`COMPLETE`, which
lists every file with its size. The transformers Trainer saves weights, optimiser, schedule, random states and position
in the data; what it forgets between two log rows is saved here (:class:`Progress`), so that a resumed run ends in the
same bytes as an undisturbed one, log included.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerCallback

from trulysafe.common.files import write_json

COMPLETE = "complete.json"


def mark_complete(checkpoint: Path) -> None:
    """Say that all files of a checkpoint are written."""
    written_last = (COMPLETE, f".{COMPLETE}")
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name not in written_last]
    sizes = {str(path.relative_to(checkpoint)): path.stat().st_size for path in files}
    write_json(checkpoint / COMPLETE, {"files": sizes})


def save_optimizer(optimizer: torch.optim.Optimizer, file: Path, about: dict[str, str] | None = None) -> None:
    """Write the moments of an optimiser into a safetensors file, and texts ``about`` them."""
    state = optimizer.state_dict()["state"]
    tensors = {f"{index}.{key}": value.clone() for index, values in state.items() for key, value in values.items()}
    save_file(tensors, file, about)


def load_optimizer(optimizer: torch.optim.Optimizer, file: Path) -> dict[str, str]:
    """Restore what :func:`save_optimizer` wrote, and return the texts."""
    state: dict[int, dict[str, Tensor]] = {}
    with safe_open(file, "pt") as opened:
        for name in opened.keys():  # noqa: SIM118
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = opened.get_tensor(name)
        about = opened.metadata() or {}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return about


def save_batches(batches: Sequence[dict[str, Tensor]], checkpoint: Path, process: int) -> None:
    """Write the micro-batches that a process's batch of fresh responses was cut into, in order; none are none."""
    tensors = {f"{index}.{name}": one.clone() for index, batch in enumerate(batches) for name, one in batch.items()}
    save_file(tensors, checkpoint / _responses_of(process))


def load_batches(checkpoint: Path, device: Any, process: int) -> list[dict[str, Tensor]] | None:
    """What :func:`save_batches` wrote for a process, on a device; None where there were none."""
    found: dict[int, dict[str, Tensor]] = {}
    for place, tensor in load_file(checkpoint / _responses_of(process)).items():
        index, name = place.split(".", 1)
        found.setdefault(int(index), {})[name] = tensor.to(device)
    return [found[index] for index in sorted(found)] or None


def _responses_of(process: int) -> str:
    return f"responses-{process}.safetensors"


class Progress(TrainerCallback):
    """What a Trainer has summed up since its last log row: saved by each process, and put back before the first step.
    Numbers go through JSON as Python floats, which keeps every bit. The loss and the tokens of the whole run, which no
    row of the log needs, count from the resumption."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.resumed_from: Path | None = None

    def save(self, checkpoint: Path) -> None:
        """Write this process's part into a checkpoint."""
        trainer = self.trainer
        content = {"loss": float(trainer._tr_loss), "last_logged": trainer._globalstep_last_logged}
        content["metrics"] = {mode: dict(values) for mode, values in trainer._metrics.items()}
        self._path(checkpoint).write_text(json.dumps(content), encoding="utf-8")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Put back what a resumed Trainer has just reset."""
        if self.resumed_from is None or not self._path(self.resumed_from).is_file():
            return
        trainer, content = self.trainer, json.loads(self._path(self.resumed_from).read_text(encoding="utf-8"))
        trainer._tr_loss = torch.full_like(trainer._tr_loss, content["loss"])
        trainer._globalstep_last_logged = content["last_logged"]
        for mode, values in content["metrics"].items():
            trainer._metrics[mode].clear()
            trainer._metrics[mode].update(values)

    def _path(self, checkpoint: Path) -> Path:
        return checkpoint / f"progress-{self.trainer.args.process_index}.json"
