"""Several processes for one training run, on this node or on several, started by torchrun and stopped by a file.

Ranks come from torchrun alone (:mod:`trulysafe.train.torchrun`). Its processes meet at a free port of this node,
another one for each run; over several nodes of a SLURM job, srun starts one torchrun on each. torchrun ignores SIGTERM:
the processes are asked to save a checkpoint and stop by a file, or by the cluster's SIGTERM, which reaches them too.
"""

import ctypes
import errno
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import trulysafe
from trulysafe.common.errors import UserError, disk_is_full
from trulysafe.config.launch import Launch
from trulysafe.train.resume import STOP_FILE, on_sigterm
from trulysafe.train.torchrun import forget_ranks

logger = logging.getLogger("trulysafe")
AGENT, WORKER = "trulysafe.train.torchrun", "trulysafe.train.worker"
ERROR_FILE = "error-{rank}.txt"
_PR_SET_PDEATHSIG = 1


def train_in_processes(folder: Path, launch: Launch) -> None:
    """Train the run of a folder (:mod:`trulysafe.train.jobs`), which all nodes see, in several processes. UserError:
    the processes stopped with an error or were told to stop, there are fewer GPUs than processes, or several nodes are
    asked for outside of a SLURM job. OSError: the processes said that a disk is full."""
    _check_gpus(launch)
    for stale in folder.glob(ERROR_FILE.format(rank="*")):
        stale.unlink()
    full = False
    with on_sigterm(lambda *_: (folder / STOP_FILE).touch()):
        launcher = subprocess.Popen(
            _command(folder, launch), env=_environment(launch.per_node), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, preexec_fn=_in_launcher,
        )  # fmt: skip
        try:
            assert launcher.stdout is not None
            for line in launcher.stdout:
                logger.info("%s", line.rstrip())
                full = full or disk_is_full(line)
            code = launcher.wait()
        finally:
            launcher.kill()  # its processes see that it is gone and stop; those of other nodes end with the SLURM job
            launcher.wait()
    if code and full:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    if code:
        said = sorted(folder.glob(ERROR_FILE.format(rank="*")))
        unsaid = f"The training processes ended with exit code {code}; their last lines in this log say why."
        raise UserError(said[0].read_text(encoding="utf-8") if said else unsaid)


def _command(folder: Path, launch: Launch) -> list[str]:
    """What starts torchrun: on this node, or on each node of this SLURM job, to meet at a free port of this one."""
    start, meet = [], ["--standalone", "--local-addr", "127.0.0.1"]
    if launch.nodes > 1:
        job = os.environ.get("SLURM_JOB_ID")
        if job is None or shutil.which("srun") is None:
            do = "Run it with snakemake --profile slurm, or set training.nodes to 1."
            raise UserError(f"training.nodes is {launch.nodes}, but this is no SLURM job. {do}")
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        start = [
            "srun", f"--jobid={job}", f"--nodes={launch.nodes}", f"--ntasks={launch.nodes}", "--ntasks-per-node=1",
            "--overlap", "--cpu-bind=none", "--mpi=none", "--kill-on-bad-exit=1", "--unbuffered",
        ]  # fmt: skip
        meet = ["--nnodes", str(launch.nodes), "--rdzv-backend", "c10d", "--rdzv-id", f"{job}-{port}"]
        meet += ["--rdzv-endpoint", f"{socket.gethostname()}:{port}"]
    return [
        *start, sys.executable, "-m", AGENT, *meet, "--nproc-per-node", str(launch.per_node), "--max-restarts", "0",
        "--signals-to-handle", "SIGINT,SIGHUP,SIGQUIT", "-m", WORKER, str(folder),
    ]  # fmt: skip


def _environment(processes: int) -> dict[str, str]:
    environment = dict(os.environ)
    forget_ranks(environment)
    package = str(Path(trulysafe.__file__).resolve().parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, environment.get("PYTHONPATH")]))
    environment.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // processes)))
    return environment


def _in_launcher() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _check_gpus(launch: Launch) -> None:
    import torch

    if torch.cuda.is_available() and torch.cuda.device_count() < launch.per_node:
        asked = f"training.processes is {launch.processes} on {launch.nodes} node(s)"
        do = "Ask for as many GPUs for the rule train, or lower training.processes."
        raise UserError(f"{asked}, but this job sees {torch.cuda.device_count()} GPUs on this one. {do}")
