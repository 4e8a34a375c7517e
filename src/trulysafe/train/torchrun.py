"""Start torchrun where nothing misleads it: ``python -m trulysafe.train.torchrun <arguments>``, once on each node.

The ranks come from torchrun alone: what a cluster's launcher left in the environment is taken out first. torchrun
itself would pass SIGTERM on and kill after 30 seconds, too short to save a large model: here it ignores the signal,
which reaches its processes from the cluster.
"""

import os
import signal
import sys
from collections.abc import MutableMapping

_RANKS = (
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT",
    "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_STEP_NUM_TASKS",
)  # fmt: skip
_LAUNCHERS = ("PMI_", "PMIX_", "OMPI_COMM_", "MV2_COMM_", "TORCHELASTIC_")


def forget_ranks(environment: MutableMapping[str, str]) -> None:
    """Take out of an environment what makes libraries take a process for one of several."""
    for name in list(environment):
        if name in _RANKS or name.startswith(_LAUNCHERS):
            del environment[name]


if __name__ == "__main__":
    forget_ranks(os.environ)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # stays ignored in what this process becomes
    os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *sys.argv[1:]])
