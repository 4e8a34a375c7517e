"""One of the processes of a training run: ``torchrun ... -m trulysafe.train.worker <folder of the run>``."""

import logging
import os
import signal
import sys
import traceback
from pathlib import Path

import torch.distributed as dist
from datasets import load_from_disk

from trulysafe.common.errors import UserError
from trulysafe.train.processes import ERROR_FILE
from trulysafe.train.run import DATA, TrainingRun, stored, train_policy


def main(folder: Path) -> None:
    """Train, say what went wrong in a file of the folder, and leave the process group in order."""
    rank, launcher = int(os.environ["RANK"]), os.getppid()
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format="%(message)s")
    # until training begins there is nothing to save
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    try:
        run = TrainingRun(**stored(folder))
        # their number is checked with the engine; this is whether they are where they should be
        found, asked = int(os.environ["WORLD_SIZE"]) // int(os.environ["LOCAL_WORLD_SIZE"]), run.parsed()[1].nodes
        if found != asked:
            raise UserError(f"{found} nodes train, but training.nodes is {asked}. Nothing was trained.")
        train_policy(run, load_from_disk(folder / DATA), launcher)
    except BaseException as error:
        if isinstance(error, UserError):
            (folder / ERROR_FILE.format(rank=rank)).write_text(str(error), encoding="utf-8")
        else:
            traceback.print_exc()
        end(1)  # at once: other processes may wait in a collective operation that this one will never join
    leave()


def leave() -> None:
    """End this process when the others have come so far too."""
    dist.barrier()
    dist.destroy_process_group()
    end(0)


def end(code: int) -> None:
    """End this process without the interpreter's shutdown, in which threads of Gloo that still hold tensors call into
    Python and abort: a training that is finished and saved would count as failed
    (https://github.com/pytorch/pytorch/pull/179291)."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
