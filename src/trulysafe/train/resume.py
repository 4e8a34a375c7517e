"""When a run of training saves, stops, and from which checkpoint it goes on.

A folder without the list of its files (:mod:`trulysafe.trainers.checkpoints`), or with one of another size, is none.
"""

import json
import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from trulysafe.trainers.checkpoints import COMPLETE

logger = logging.getLogger("trulysafe")
STOP_FILE = "stop"
"""Beside the checkpoints: asks every process of a run to save one and stop."""
_PREFIX = f"{PREFIX_CHECKPOINT_DIR}-"


def newest_complete(folder: Path) -> Path | None:
    """The checkpoint to go on from: the complete one with the most steps; newer ones are named in the log."""
    for checkpoint in _newest_first(folder):
        if is_complete(checkpoint):
            return checkpoint
        logger.info("%s is not complete (its writing was cut short) and is passed over", checkpoint)
    return None


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end and all its files still have their sizes."""
    try:
        sizes = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))["files"]
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def keep_only(checkpoint: Path) -> None:
    """Remove all others beside a checkpoint."""
    for other in _newest_first(checkpoint.parent):
        if other != checkpoint:
            (other / COMPLETE).unlink(missing_ok=True)  # half-removed is not complete
            shutil.rmtree(other, ignore_errors=True)


class SaveAndStop(TrainerCallback):
    """Asks for a checkpoint every so many steps (0 is never), and for a last one when the job is told to stop. If any
    process is told to stop, all of them stop at the same step."""

    def __init__(self, every: int, told_to_stop: Callable[[], bool], accelerator: Accelerator) -> None:
        self.every, self.told_to_stop, self.accelerator = every, told_to_stop, accelerator
        self.stopped = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Decide after every optimiser step; the last one needs no checkpoint, but a row of the log."""
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
    """Whether this process was told to stop: by SIGTERM, by a file while it exists, or by the death of its parent."""

    def __init__(self, file: Path, parent: int | None = None) -> None:
        self.file, self.parent, self.signalled = file, parent, False

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.signalled or self.file.exists() or (self.parent is not None and os.getppid() != self.parent)

    def signal(self, *_: object) -> None:
        """Handle a signal: remember it, and let the step come to its end."""
        self.signalled = True


@contextmanager
def on_sigterm(handler: Any) -> Iterator[None]:
    """Let a handler receive SIGTERM for a while, where that is possible (in a process's main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _newest_first(folder: Path) -> list[Path]:
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(_PREFIX)), reverse=True)
