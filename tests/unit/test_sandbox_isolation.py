"""What programs in the sandbox cannot reach, and that without isolation nothing runs."""

import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.sandbox_world import needs_isolation
from trulysafe.common.errors import UserError
from trulysafe.sandbox.run import NAMESPACES, check, run

ROOT = Path(__file__).resolve().parents[2]
CHECK = "from trulysafe.sandbox.run import run\nprint(run('a = 1', 'assert a == 1').status)"


@needs_isolation
def test_nothing_outside_can_be_written(tmp_path):
    home = Path.home() / ".trulysafe_sandbox_test"
    places = [tmp_path / "mark", home, ROOT / "mark", Path("/usr/lib/mark"), Path("/mark"), Path("/sandbox/program.py")]
    attempt = (
        f"for place in {list(map(str, places))}:\n"
        "    try:\n        open(place, 'w').write('x')\n        print('written', place)\n"
        "    except OSError:\n        pass\n"
    )
    assert run(attempt, "").output == ""
    assert not any(place.exists() for place in places)


@needs_isolation
def test_there_is_one_folder_to_write_to_and_it_is_nobody_elses():
    mark = f"/tmp/trulysafe-sandbox-{os.getpid()}"
    tried = (
        "import os\n"
        "for folder, _, _ in os.walk('/'):\n"
        "    try:\n        open(f'{folder}/mark', 'w').close()\n        print(folder)\n"
        "    except OSError:\n        pass\n"
    )
    assert run(f"import os\nassert os.listdir('/tmp') == []\nopen({mark!r}, 'w').write('x')", "").status == "passed"
    assert not Path(mark).exists()
    assert run(tried, "").output == "/tmp\n"


@needs_isolation
def test_secrets_are_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "a-secret-word")
    (tmp_path / "token").write_text("a-secret-word", "utf-8")
    files = [
        tmp_path / "token",
        Path("/proc/self/environ"),
        Path("/proc/1/environ"),
        Path("/etc/passwd"),
        ROOT / "README.md",
    ]
    attempt = (
        f"import os\nprint(dict(os.environ), os.listdir('/'))\nfor file in {list(map(str, files))}:\n"
        "    try:\n        print(open(file).read())\n    except OSError:\n        print('-')\n"
    )
    shown = run(attempt, "").output.splitlines()
    assert shown[0].startswith("{} [")
    assert not [folder for folder in ("proc", "dev", "sys", "var", "run") if f"'{folder}'" in shown[0]]
    assert shown[1:] == ["-"] * len(files)


@needs_isolation
def test_no_server_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        attempt = f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)"
        outcome = run(attempt, "")
        assert outcome.status == "failed"
        assert "PermissionError" in outcome.output
        with pytest.raises(BlockingIOError):
            server.accept()


@needs_isolation
def test_every_namespace_is_its_own():
    """The network among them, beside the refusal to make a socket at all."""
    kinds = ("user", "mnt", "pid", "net", "ipc", "uts")
    shown = f"import os; print(*(os.readlink(f'/proc/self/ns/{{kind}}') for kind in {kinds}))"
    inside = subprocess.run(
        ["unshare", *NAMESPACES, sys.executable, "-c", shown], capture_output=True, text=True, check=True
    ).stdout.split()
    outside = [os.readlink(f"/proc/self/ns/{kind}") for kind in kinds]  # noqa: PTH115
    assert len(inside) == len(kinds)
    assert not set(inside) & set(outside)


@needs_isolation
def test_no_process_can_be_started_or_gain_rights():
    attempts = (
        "os.fork()",
        "subprocess.run(['/bin/true'])",
        "libc.fork() == -1 and 1 / 0",
        "libc.unshare(0x10000000) and 1 / 0",
        "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) and 1 / 0",
        "libc.ptrace(0, 0, 0, 0) and 1 / 0",
        "resource.prlimit(1, resource.RLIMIT_AS, (4096, 4096))",
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        "libc.process_vm_readv(1, part, 1, part, 1, 0) == -1 and 1 / 0",
        "os.setuid(1)",
        "os.chroot('/tmp')",
    )
    program = (
        "import ctypes, os, resource, subprocess\n"
        "libc, room = ctypes.CDLL(None), ctypes.create_string_buffer(8)\n"
        "part = (ctypes.c_size_t * 2)(ctypes.addressof(room), 8)\n"
        "assert libc.process_vm_readv(os.getpid(), part, 1, part, 1, 0) == 8\nleft = []\n"
    )
    program += "".join(
        f"try:\n    {attempt}\n    left.append({attempt!r})\nexcept Exception:\n    pass\n" for attempt in attempts
    )
    assert run(program, "print(left)").output == "[]\n"


@needs_isolation
def test_signals_reach_nobody_else():
    program = (
        "import os, signal\n"
        "for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP, signal.SIGHUP):\n"
        "    os.kill(os.getppid(), number)\n"
        "    for process in (-1, *range(3, 300)):\n"
        "        try:\n            os.kill(process, number)\n            print('reached', process)\n"
        "        except ProcessLookupError:\n            pass\n"
    )
    outcome = run(program, f"try:\n    os.kill({os.getpid()}, 9)\nexcept ProcessLookupError:\n    print('nobody')")
    assert outcome[:2] == ("passed", "nobody\n")


@needs_isolation
def test_nothing_is_left_running():
    mark = f"left-{os.getpid()}"
    program = (
        f"import ctypes, threading, time\nctypes.CDLL(None).prctl(15, b{mark!r}, 0, 0, 0)\ntime.sleep(1)\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()"
    )

    def running():
        return any(mark == name.read_text("utf-8", "replace").strip() for name in Path("/proc").glob("[0-9]*/comm"))

    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(run, program, "")
        while not outcome.done() and not running():
            time.sleep(0.01)
        assert not outcome.done()
        assert outcome.result().status == "passed"
    assert not running()


@needs_isolation
@pytest.mark.skipif(os.getuid() != 0, reason="the other tests run without rights already")
def test_it_isolates_for_users_without_rights():
    python = shutil.which("python3.11", path="/usr/bin:/usr/local/bin")
    if python is None:
        pytest.skip("needs a Python 3.11 of the system, which every user can read")
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [python, "-B", "-c", CHECK], user=65534, group=65534, extra_groups=[], cwd="/", capture_output=True, text=True,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{packages}"}, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("passed\n", "")


@needs_isolation
def test_where_namespaces_are_forbidden_nothing_runs():
    """A namespace in which the kernel allows no further one."""
    forbid = f'echo 0 > /proc/sys/user/max_user_namespaces && exec {sys.executable} -c "$0"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, CHECK],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stdout == ""
    assert "UserError: Programs that a model wrote run in isolation or not at all" in done.stderr
    assert "unshare failed" in done.stderr
    assert "sysctl" in done.stderr


def test_other_machines_are_refused(monkeypatch):
    check.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(platform, "machine", lambda: "riscv64")
        with pytest.raises(UserError, match=r"riscv64, is none of x86_64, aarch64"):
            run("a = 1", "")
        patched.setattr(sys, "platform", "darwin")
        with pytest.raises(UserError, match=r"namespaces are Linux's(.|\n)*docs/sandbox.md"):
            check()
    check.cache_clear()
