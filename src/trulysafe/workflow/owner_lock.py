"""One owner at a time for a folder that outlives its job: who works here, and whether they are still alive.

An owner is a process: host, process id and start time (ids are used again), and the SLURM job it belongs to. A dead owner's lock is
taken over; a living one's is respected, and the message says who it is. The lock is a file made by ``link``, which is atomic on
NFS and Lustre too.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trulysafe.common.errors import UserError

logger = logging.getLogger("trulysafe")
OWNER_FILE = "owner.json"
_ATTEMPTS = 5


@contextmanager
def owned(folder: Path | str) -> Iterator[None]:
    """Own a folder (made if it is not there) while inside.

    Raises:
        UserError: a living process owns it, or one of which it cannot be known.
    """
    lock = Path(folder) / OWNER_FILE
    lock.parent.mkdir(parents=True, exist_ok=True)
    mine = json.dumps(_this_process(), sort_keys=True)
    _acquire(lock, mine)
    try:
        yield
    finally:
        if _text(lock) == mine:
            lock.unlink(missing_ok=True)


def _acquire(lock: Path, mine: str) -> None:
    private = lock.with_name(f".{lock.name}-{socket.gethostname()}-{os.getpid()}")
    private.write_text(mine, encoding="utf-8")
    try:
        for _ in range(_ATTEMPTS):
            try:
                os.link(private, lock)
            except FileExistsError:
                _free_or_refuse(lock)
            else:
                return
    finally:
        private.unlink(missing_ok=True)
    raise UserError(
        f"{lock}: several jobs try to take this folder at the same time. See that one runs, and start it again."
    )


def _free_or_refuse(lock: Path) -> None:
    """Move a dead owner's lock out of the way; refuse if the owner may be alive."""
    found = _text(lock)
    if found is None:
        return
    owner = _parsed(found)
    if owner is not None and _may_be_alive(owner):
        job = f", SLURM job {owner['job']}" if owner.get("job") else ""
        raise UserError(
            f"{lock.parent}: process {owner['pid']} on {owner['host']}{job} works here since {owner['since']}. Wait until it ends, or end it, "
            f"and run the same command again. If you know that it is gone, delete {lock} first."
        )
    aside = lock.with_name(f".dead-{lock.name}-{socket.gethostname()}-{os.getpid()}")
    try:
        lock.rename(aside)
    except FileNotFoundError:
        return
    if _text(aside) == found:
        logger.info("%s: taking over from a process that is gone", lock.parent)
    else:  # someone else was faster: what was moved is a new owner's lock
        _put_back(aside, lock)
    aside.unlink(missing_ok=True)


def _put_back(aside: Path, lock: Path) -> None:
    """Put a lock back that was moved by mistake, unless there is one again."""
    try:
        os.link(aside, lock)
    except FileExistsError:
        logger.warning("%s: two jobs took over at the same time", lock.parent)


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": start_of(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID"),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _may_be_alive(owner: dict[str, Any]) -> bool:
    if owner["host"] == socket.gethostname():
        return start_of(owner["pid"]) == owner["started"]
    if not owner.get("job"):
        return True  # another machine's processes cannot be seen from here
    if owner["job"] == os.environ.get("SLURM_JOB_ID"):
        return False  # this very job, requeued: its earlier run has ended
    return _slurm_job_may_be_alive(str(owner["job"]))


def _slurm_job_may_be_alive(job: str) -> bool:
    if shutil.which("squeue") is None:
        return True
    asked = subprocess.run(
        ["squeue", "--noheader", "--jobs", job, "--states", "all", "--format", "%T"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if asked.returncode != 0:
        return "Invalid job id" not in asked.stderr
    return any(
        state in {"RUNNING", "COMPLETING", "CONFIGURING", "PENDING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"}
        for state in asked.stdout.split()
    )


def start_of(pid: int) -> str | None:
    """When a process started, in ticks since boot; none where there is no such process (Linux)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may hold anything
    return None if fields[0] in "ZX" else fields[19]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        owner = json.loads(text)
        return owner if {"host", "pid", "started"} <= set(owner) else None
    except (ValueError, TypeError):
        return None
