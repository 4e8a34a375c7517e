"""Trainer checkpoints that one can rely on: complete or passed over, exact, of this very work.

A checkpoint is written piece by piece and can be cut short anywhere. The last thing written is :data:`COMPLETE`, which lists every file with its size; a
folder without it, or with a file of another size, is not a checkpoint. The transformers Trainer saves weights, optimiser, schedule, random
states and position in the data; what it forgets between two log rows is saved here (:class:`Progress`), so that a resumed run ends in the
same bytes as an undisturbed one, log included.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from transformers import TrainerCallback

from trulysafe.common.files import write_json

logger = logging.getLogger("trulysafe")
COMPLETE = "complete.json"
_PREFIX = "checkpoint-"


def mark_complete(checkpoint: Path) -> None:
    """Say that all files of a checkpoint are written."""
    sizes = {str(path.relative_to(checkpoint)): path.stat().st_size for path in _files(checkpoint)}
    write_json(checkpoint / COMPLETE, {"files": sizes})


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end and all its files still have their sizes."""
    try:
        sizes = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return False
    return all(_size(checkpoint / name) == size for name, size in sizes.items())


def newest_complete(folder: Path) -> Path | None:
    """The checkpoint to go on from: the complete one with the most steps. Others are named in the log and passed over."""
    for checkpoint in _newest_first(folder):
        if is_complete(checkpoint):
            return checkpoint
        logger.info("%s is not complete (its writing was cut short) and is passed over", checkpoint)
    return None


def keep_only(checkpoint: Path) -> None:
    """Remove every other checkpoint beside this one."""
    for other in _newest_first(checkpoint.parent):
        if other != checkpoint:
            (other / COMPLETE).unlink(missing_ok=True)  # half-removed is not complete
            shutil.rmtree(other, ignore_errors=True)


def _newest_first(folder: Path) -> list[Path]:
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(_PREFIX)), reverse=True)


def _files(checkpoint: Path) -> list[Path]:
    return [
        path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name not in (COMPLETE, f".{COMPLETE}")
    ]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


class Progress(TrainerCallback):
    """What a Trainer has summed up since its last log row: saved by each process, and put back before the first step.

    Numbers go through JSON as Python floats, which keeps every bit.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.resumed_from: Path | None = None

    def save(self, checkpoint: Path) -> None:
        """Write this process's part into a checkpoint."""
        trainer = self.trainer
        content = {
            "loss": float(trainer._tr_loss),
            "total_loss": trainer._total_loss_scalar,
            "last_logged": trainer._globalstep_last_logged,
            "metrics": {mode: dict(values) for mode, values in trainer._metrics.items()},
            "tokens": trainer._total_train_tokens,
        }
        self._path(checkpoint).write_text(json.dumps(content), encoding="utf-8")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Put back what a resumed Trainer has just reset."""
        if self.resumed_from is None or not self._path(self.resumed_from).is_file():
            return
        trainer, content = self.trainer, json.loads(self._path(self.resumed_from).read_text(encoding="utf-8"))
        trainer._tr_loss = torch.full_like(trainer._tr_loss, content["loss"])
        trainer._total_loss_scalar = content["total_loss"]
        trainer._globalstep_last_logged = content["last_logged"]
        trainer._total_train_tokens = content["tokens"]
        for mode, values in content["metrics"].items():
            trainer._metrics[mode].clear()
            trainer._metrics[mode].update(values)

    def _path(self, checkpoint: Path) -> Path:
        return checkpoint / f"progress-{self.trainer.args.process_index}.json"


class SaveAndStop(TrainerCallback):
    """Asks for a checkpoint every so many steps, and for one last checkpoint when the job is told to stop.

    Args:
        every: steps between checkpoints; 0 saves none but the last.
        told_to_stop: whether this process was told to stop.
        accelerator: makes all processes stop at the same step, if any of them was told to.
    """

    def __init__(self, every: int, told_to_stop: Callable[[], bool], accelerator: Accelerator) -> None:
        self.every, self.told_to_stop, self.accelerator = every, told_to_stop, accelerator
        self.stopped = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Decide after every optimiser step; the last step needs no checkpoint, but a row of the log, or its last steps would be in none."""
        if state.global_step >= state.max_steps:
            control.should_log = True
            return
        if self.told_to_stop():
            self.accelerator.set_trigger()
        self.stopped = self.accelerator.check_trigger()
        control.should_save = self.stopped or bool(self.every and state.global_step % self.every == 0)
        control.should_training_stop = control.should_training_stop or self.stopped

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Older checkpoints go once this one is complete, and never before."""
        if state.is_world_process_zero:
            keep_only(Path(args.output_dir) / f"{_PREFIX}{state.global_step}")


class StopRequest:
    """Whether this process was told to stop: by SIGTERM, by a file that another process of its job made, or by its parent's death.

    Args:
        file: asks for a stop while it exists.
        parent: process id of the parent without which going on makes no sense (a worker's launcher); none if there is no such.
    """

    def __init__(self, file: Path, parent: int | None = None) -> None:
        self.file, self.parent, self.signalled = file, parent, False

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.signalled or self.file.exists() or (self.parent is not None and os.getppid() != self.parent)

    def signal(self, *_: object) -> None:
        """Handle a signal: remember it, and let the step come to its end."""
        self.signalled = True
