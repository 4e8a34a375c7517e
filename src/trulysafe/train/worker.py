"""One of the processes of a training run: ``torchrun ... -m trulysafe.train.worker <folder of the run>``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from pathlib import Path

import torch.distributed as dist
from datasets import load_from_disk

from trulysafe.common.errors import UserError
from trulysafe.config.launch import Launch
from trulysafe.train.jobs import DATA, read_run, train_here
from trulysafe.train.processes import ERROR_FILE


def main(folder: Path) -> None:
    """Train, say what went wrong in a file of the folder, and leave the process group in order."""
    rank = int(os.environ["RANK"])
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format="%(message)s")
    signal.signal(
        signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM)
    )  # until training begins there is nothing to save
    launcher = os.getppid()
    try:
        run = read_run(folder)
        _check_nodes(Launch(**run.launch))
        train_here(run, load_from_disk(folder / DATA), launcher)
    except UserError as error:
        (folder / ERROR_FILE.format(rank=rank)).write_text(str(error), encoding="utf-8")
        _leave(1)
    except BaseException:
        traceback.print_exc()
        _leave(1)
    # Without both, ZeRO-3 may abort while the interpreter shuts down.
    dist.barrier()
    dist.destroy_process_group()


def _check_nodes(launch: Launch) -> None:
    """The number of processes is checked with the engine; this is whether they are where they should be."""
    found = int(os.environ["WORLD_SIZE"]) // int(os.environ["LOCAL_WORLD_SIZE"])
    if found != launch.nodes:
        raise UserError(f"{found} nodes train, but training.nodes is {launch.nodes}. Nothing was trained.")


def _leave(code: int) -> None:
    """End at once: other processes may wait in a collective operation that this one will never join."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
