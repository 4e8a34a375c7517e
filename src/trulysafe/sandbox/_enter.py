"""The first process in the namespaces: builds the root, starts the program with fewer rights, watches it and reports.

Its standard input holds what :func:`trulysafe.sandbox.run.run` gives it, its standard output gets the report; errors on
the way to the program end it with a message, so that no program runs in half a sandbox. From the standard library
alone.
"""

import contextlib
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from trulysafe.sandbox import _kernel, _program

OLD, SCRATCH = "/old", "/tmp"
"""Where the machine's own root lies while the new one is built, and the one place that programs can write to."""
_MEGABYTE = 1 << 20


def main() -> None:
    """Do all of it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the kernel keeps signals that have no handler from a first process
    job = json.load(sys.stdin)
    with open(os.devnull) as nothing:  # noqa: PTH123
        build_root(job)
        report = watch(job, nothing)
    json.dump(report, sys.stdout)


def build_root(job: dict[str, Any]) -> None:
    """Make a root of the folders that ``job`` names, read-only, with the program's files and an empty folder to write
    to; the machine's own root is gone then."""
    _kernel.mount("tmpfs", "/tmp", "tmpfs", _kernel.NOSUID | _kernel.NODEV, "size=16m,mode=755")
    Path("/tmp", OLD[1:]).mkdir()
    _kernel.pivot_root("/tmp", "/tmp" + OLD)
    os.chdir("/")
    for target, source in job["links"].items():
        Path(target).symlink_to(source)
    for target, source in job["folders"].items():
        _show(OLD + source, Path(target))
    for target in _mounted():
        _kernel.read_only(target)
    own = Path(_program.FOLDER)
    own.mkdir()
    own.joinpath("start.py").write_text(Path(OLD + job["start"]).read_text("utf-8"), "utf-8")
    for part in ("program", "tests"):
        own.joinpath(f"{part}.py").write_text(job[part], "utf-8", "surrogatepass")
    _kernel.detach(OLD)
    Path(OLD).rmdir()
    Path(SCRATCH).mkdir(exist_ok=True)
    size = f"size={job['limits']['scratch_mb']}m,nr_inodes=1000,mode=777"
    _kernel.mount("tmpfs", SCRATCH, "tmpfs", _kernel.NOSUID | _kernel.NODEV, size)
    _kernel.read_only("/")
    socket.sethostname("sandbox")


def _show(source: str, target: Path) -> None:
    if Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _kernel.mount(source, str(target), flags=_kernel.BIND | _kernel.RECURSIVE)


def _mounted() -> list[str]:
    """Places of everything that is shown of the machine, with what was mounted below it there."""
    lines = Path(OLD, "proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    places = [re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4]) for line in lines]
    return [place for place in places if place != "/" and not place.startswith(OLD)]


def confine(limits: dict[str, Any], errors: int) -> None:
    """Limit this process and give up its rights, shortly before it becomes the program's. What cannot be done is said
    on the descriptor ``errors``, as the caller learns only that something could not."""
    try:
        _limit(limits)
        _kernel.give_up_rights()
    except Exception as error:
        os.write(errors, f"{error}\n".encode())
        raise


def _limit(limits: dict[str, Any]) -> None:
    memory, scratch, seconds = limits["memory_mb"] * _MEGABYTE, limits["scratch_mb"] * _MEGABYTE, limits["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (scratch, scratch))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits["open_files"], limits["open_files"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def watch(job: dict[str, Any], nothing: TextIO) -> dict[str, Any]:
    """Run the program to its end, or to that of its time; returns ``status``, ``output`` and its whole size."""
    limits, token = job["limits"], os.urandom(_program.TOKEN // 2).hex().encode()
    ours, theirs = socket.socketpair()
    ours.send(token)
    command = [job["python"], "-s", "-S", "-B", "-P", "-X", "utf8", f"{_program.FOLDER}/start.py", str(theirs.fileno())]
    errors = os.dup(2)
    process = subprocess.Popen(
        command, stdin=nothing, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[theirs.fileno()],
        preexec_fn=lambda: confine(limits, errors), env=job["environment"], cwd=SCRATCH,
    )  # fmt: skip
    end = time.monotonic() + limits["wall_seconds"]
    output, size = _read(process, end, limits["output_kb"] << 10)
    try:
        code = process.wait(max(0, end - time.monotonic()))
        timed_out = code == -signal.SIGXCPU or (code == -signal.SIGKILL and _seconds() >= limits["cpu_seconds"])
    except subprocess.TimeoutExpired:
        process.kill()
        code, timed_out = process.wait(), True
    status = "timed_out" if timed_out else _said(ours, token) or "failed"
    if code < 0 and not timed_out:
        output += f"\n(ended by {signal.Signals(-code).name})".encode()
    return {"status": status, "output": output.decode("utf-8", "replace"), "printed": size}


def _read(process: subprocess.Popen[bytes], end: float, most: int) -> tuple[bytearray, int]:
    """What the program prints, up to ``most`` bytes of it, and how much it was; the rest is read and forgotten."""
    assert process.stdout is not None
    output, size, descriptor = bytearray(), 0, process.stdout.fileno()
    while (left := end - time.monotonic()) > 0 and select.select([descriptor], [], [], left)[0]:
        part = os.read(descriptor, 1 << 16)
        if not part:
            break
        size += len(part)
        output += part[: max(0, most - len(output))]
    return output, size


def _said(ours: socket.socket, token: bytes) -> str:
    """How the tests ended, if the program's process says so with the token."""
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError, ConnectionError):
        said = ours.recv(4096)
        if said.startswith(token) and said[len(token) :] in (b"passed", b"out_of_memory"):
            return said[len(token) :].decode()
    return ""


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
