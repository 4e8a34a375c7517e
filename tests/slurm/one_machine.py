"""A real SLURM cluster on this one machine: two nodes with a fake GPU each, three partitions, accounting on or off.

``python -m tests.slurm.one_machine`` starts one, prints the variables that a shell needs, and stops it on Ctrl-C.
Nothing outside the cluster's folder is touched, ports are free ones, and the daemons are children of this process.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.slurm.configuration import NODES, write_configuration

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
NEEDED_FOR_ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db")
PACKAGES = "slurm-wlm munge slurmdbd mariadb-server"


def missing(accounting: bool = False) -> str:
    """Why no cluster can be started here; empty where one can."""
    if os.geteuid() != 0:
        return "a test cluster needs root: its daemons start jobs, and its GPUs are device files"
    absent = [
        name
        for name in NEEDED + (NEEDED_FOR_ACCOUNTING if accounting else ())
        if shutil.which(name, path=_path()) is None
    ]
    return f"not installed: {', '.join(absent)} (on Debian: apt-get install {PACKAGES})" if absent else ""


class Cluster:
    """Start and stop the daemons of one cluster.

    Args:
        folder: an empty folder, short enough for socket paths (under 90 characters).
        accounting: with slurmdbd and its database, or with neither.
    """

    def __init__(self, folder: Path, accounting: bool) -> None:
        self.folder = folder
        self.accounting = accounting
        self.clients: list[subprocess.Popen[bytes]] = []
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = dict(zip(("ctld_port", "dbd_port", "sql_port", *NODES), _free_ports(5), strict=True))

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that SLURM's commands need. ``SLURM_CONF`` does not reach the step in a job, hence the wrapper on
        PATH."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": f"{self.folder / 'bin'}:{_path()}"}

    def run(self, *command: str, check: bool = True, seconds: float = 30) -> str:
        """Run one of SLURM's commands and return what it printed."""
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """SLURM's own records of all jobs, which it keeps for an hour after their end; oldest first."""
        lines = self.run("scontrol", "-o", "show", "job").splitlines()
        records = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines]
        return sorted((record for record in records if "JobId" in record), key=lambda record: int(record["JobId"]))

    def kill(self, daemon: str) -> None:
        """Kill a daemon with SIGKILL."""
        self._daemons[daemon].kill()
        self._daemons.pop(daemon).wait()

    def start_controller(self) -> None:
        """Start slurmctld, with the state that an earlier one saved."""
        self._daemon("slurmctld", "slurmctld", "-D", "-i")
        self.wait_for("scontrol", "ping", shows="UP")

    def wait_for(self, *command: str, shows: str = "", seconds: float = 60) -> str:
        """Repeat a command until it succeeds and prints a pattern."""
        end = time.monotonic() + seconds
        while True:
            try:
                output = self.run(*command, seconds=5)
                if re.search(shows, output):
                    return output
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                output = str(error)
            if time.monotonic() > end:
                raise TimeoutError(f"{' '.join(command)} after {seconds} s: {output}\n{self._logs()}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Kill clients that still run, cancel all jobs, stop all daemons, last started first, and kill what is left of
        jobs on lost nodes."""
        for client in self.clients:
            client.kill()
            client.wait()
        if "slurmctld" in self._daemons:
            with suppress(subprocess.TimeoutExpired, RuntimeError, TimeoutError):
                self.run("scancel", "--full", "--signal=KILL", "--state=RUNNING", check=False, seconds=5)
                self.wait_for("squeue", "--noheader", "--states=RUNNING,COMPLETING", shows=r"^\s*$", seconds=10)
        for name in reversed(list(self._daemons)):
            process = self._daemons.pop(name)
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                variables = environment.read_bytes()
                if f"{self.folder / 'bin'}:".encode() in variables and b"SLURM_JOB_ID=" in variables:
                    os.kill(int(environment.parent.name), signal.SIGKILL)

    def _start(self) -> None:
        write_configuration(self.folder, self._ports, self.accounting)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        # --force: a folder that others may write to is no reason to stop here
        self._daemon(
            "munged", "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.folder}/munge.sock",
            f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/log/munged.log",
            f"--seed-file={self.folder}/munge.seed",
        )  # fmt: skip
        self.wait_for("munge", "--no-input", f"--socket={self.folder}/munge.sock")
        if self.accounting:
            self._start_accounting()
        self.start_controller()
        for node in NODES:
            self._daemon(f"slurmd.{node}", "slurmd", "-D", "-N", node)
        self.wait_for("sinfo", "--noheader", "--partition=cpu", "--format=%D %t", shows=rf"{len(NODES)} idle")

    def _start_accounting(self) -> None:
        data, sock = self.folder / "sql", self.folder / "sql.sock"
        self.run(
            "mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db", seconds=120,
        )  # fmt: skip
        self._daemon(
            "mariadbd", "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", "--bind-address=127.0.0.1",
            f"--port={self._ports['sql_port']}", f"--socket={sock}", f"--pid-file={self.folder}/mariadbd.pid",
            "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900",
        )  # fmt: skip
        client = ("mariadb", "--no-defaults", "--user=root", f"--socket={sock}")
        self.wait_for(*client, "--execute=select 1")
        self.run(
            *client,
            "--execute=create database slurm_acct_db; create user slurm@'127.0.0.1' identified by 'slurm';"
            "create user slurm@'localhost' identified by 'slurm'; grant all on slurm_acct_db.* to slurm@'127.0.0.1';"
            "grant all on slurm_acct_db.* to slurm@'localhost'",
        )
        self._daemon("slurmdbd", "slurmdbd", "-D")
        self.wait_for("sacctmgr", "--noheader", "show", "cluster")
        for item in (
            ("cluster", "onemachine"),
            ("account", "students", "cluster=onemachine"),
            ("user", "root", "account=students"),
        ):
            self.run("sacctmgr", "--immediate", "add", *item)

    def _daemon(self, name: str, *command: str) -> None:
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_end_with_parent,
            )

    def _logs(self) -> str:
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')[-1500:]}"
            for path in sorted((self.folder / "log").iterdir())
        )


def _end_with_parent() -> None:
    """Have the kernel stop this process when its parent dies, be it by SIGKILL (prctl's PR_SET_PDEATHSIG is 1)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # Debian keeps daemons where a user's PATH does not look


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def main() -> None:
    """Run a cluster until Ctrl-C."""
    accounting = "--no-accounting" not in sys.argv[1:]
    if reason := missing(accounting):
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, Cluster(Path(folder), accounting) as cluster:
        print("export", *(f"{name}='{value}'" for name, value in cluster.environment.items()), flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
