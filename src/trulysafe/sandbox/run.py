"""Run one Python program and its tests in isolation, and say how that ended.

Namespaces come from ``unshare`` of util-linux, for users without rights and for root alike. Where they are not to be
had nothing runs: a :class:`UserError` says what to do (:func:`check`). docs/sandbox.md says what isolation means here.
"""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from trulysafe.common.errors import UserError
from trulysafe.common.options import Count, Table
from trulysafe.sandbox import _enter, _kernel, _program

NAMESPACES = ["--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
"""What a program is alone in: users, mounts, processes, network, shared memory, name of the machine."""
GRACE = 60
"""Seconds beyond the program's own after which a sandbox that has not reported is ended."""
_SOURCE = Path(__file__).resolve().parents[2]
_LIBRARIES = ("/lib", "/lib64")
"""Where programs look for what starts them; often links."""
_START = "import sys; sys.path.insert(0, sys.argv[1]); from trulysafe.sandbox._enter import main; main()"
_ASK = """
import json, sys, sysconfig
for name in ("bz2", "ctypes", "decimal", "hashlib", "lzma", "sqlite3", "uuid", "zlib"):
    try:
        __import__(name)
    except ImportError:
        pass
mapped = {line.split()[5] for line in open("/proc/self/maps") if len(line.split()) == 6}
library = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
print(json.dumps({"library": library, "mapped": sorted(mapped)}))
"""


class Limits(Table):
    """What a program may take."""

    cpu_seconds: Count = Field(10, description="Processor time of a program with its tests.")
    wall_seconds: Count = Field(60, description="Time of a program with its tests, waiting included.")
    memory_mb: Count = Field(512, description="Address space; the interpreter alone takes about 30 MB of it.")
    scratch_mb: Count = Field(16, description="Size of the one folder to write to, `/tmp`, and of a file.")
    open_files: Count = Field(64, ge=16, description="Files that are open at once.")
    output_kb: Count = Field(64, description="What is kept of a program's output; the rest is thrown away.")


class Outcome(NamedTuple):
    """How a program ended, what is kept of its output, and how many bytes it printed."""

    status: Literal["passed", "failed", "timed_out", "out_of_memory"]
    output: str
    printed: int


def run(program: str, tests: str, limits: Limits | None = None) -> Outcome:
    """Run ``program`` and then ``tests`` as one module, under the interpreter's standard library alone.

    ``passed`` is a program whose tests ran to their end without an exception. UserError: this machine gives no
    isolation; the program has not run then.
    """
    limits = limits or Limits()
    job = {**_place(), "program": program, "tests": tests, "limits": limits.model_dump()}
    command = [_unshare(), *NAMESPACES, job["python"], "-I", "-S", "-B", "-c", _START, str(_SOURCE)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        env=job["environment"], cwd="/", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            report, errors = process.communicate(json.dumps(job), timeout=limits.wall_seconds + GRACE)
        except subprocess.TimeoutExpired:
            return Outcome("timed_out", "", 0)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        raise _refused(_last_line(errors))
    return Outcome(**json.loads(report))


@cache
def check() -> None:
    """Run a program that does nothing. UserError: this machine gives no isolation, with the reason and what to do."""
    outcome = run("import hashlib, json", "assert json.loads('1') == 1")
    if outcome.status != "passed":
        raise _refused(f"a program that does nothing {outcome.status}: {outcome.output.strip()[-500:]}")


def _last_line(errors: str) -> str:
    return (errors.strip().splitlines() or ["it ended without a word."])[-1]


def _refused(why: str) -> UserError:
    machine = f"this machine ({platform.node()})"
    return UserError(
        f"Programs that a model wrote run in isolation or not at all, and {machine} does not give it: {why}\n"
        "Use a machine or node on which `unshare --user --map-root-user --mount --pid --net --fork true` works, or ask "
        "its administrator to allow user namespaces (sysctl user.max_user_namespaces, on Debian "
        "kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0). In Docker they "
        "need `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`. Or take the judge out of the "
        "configuration. More in docs/sandbox.md."
    )


def _unshare() -> str:
    if sys.platform != "linux":
        raise _refused(f"namespaces are Linux's, this is {platform.system()}.")
    if platform.machine() not in _kernel.CALLS:
        raise _refused(f"its processor, {platform.machine()}, is none of {', '.join(_kernel.CALLS)}.")
    found = shutil.which("unshare", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    if found is None:
        raise _refused("the command `unshare` (package util-linux) is not there.")
    return found


@cache
def _place() -> dict[str, Any]:
    """What the sandbox is built of: the interpreter below this environment, its libraries, and how it is started."""
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    libraries = os.environ.get("LD_LIBRARY_PATH", "")
    environment = {"PYTHONHASHSEED": "0", **({"LD_LIBRARY_PATH": libraries} if libraries else {})}
    asked = subprocess.run(
        [python, "-I", "-S", "-c", _ASK], capture_output=True, text=True, env=environment, check=False
    )
    if asked.returncode != 0:
        raise _refused(f"{python} does not start without this environment: {_last_line(asked.stderr)}")
    found = json.loads(asked.stdout)
    places = [*found["library"], *(str(Path(file).parent) for file in found["mapped"] if ".so" in Path(file).name)]
    places += [python, "/etc/ld.so.cache", *map(os.path.realpath, _LIBRARIES), *libraries.split(":")]
    start = str(Path(_program.__file__).resolve())
    links = {name: str(Path(name).readlink()) for name in _LIBRARIES if Path(name).is_symlink()}
    folders = {place: os.path.realpath(place) for place in _outermost(filter(_may_be_shown, places))}
    return {"python": python, "folders": folders, "links": links, "start": start, "environment": environment}


def _may_be_shown(place: str) -> bool:
    """Whether a file or folder is there, and holds neither a home nor what others write."""
    hidden = (Path(os.environ.get("HOME") or "/root"), Path(_enter.SCRATCH), Path("/proc"))
    return Path(place).is_absolute() and Path(place).exists() and not any(one.is_relative_to(place) for one in hidden)


def _outermost(places: Iterable[str]) -> list[str]:
    """Places that are not within one another, outer ones first."""
    kept: list[str] = []
    for place in sorted(set(places), key=len):
        if not any(Path(place).is_relative_to(outer) for outer in kept):
            kept.append(place)
    return kept
