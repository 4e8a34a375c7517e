"""A copy of the project to run, edit and break."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "src", "config", "profiles", "slurm", "resources", "envs")
SMALL = ROOT / "tests" / "workflow" / "small.yaml"
JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):", re.MULTILINE)


def skip_without_package(name: str) -> None:
    """End the test here where the package index has no such package."""
    asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "/dev/null", name]
    if "No matching distribution" in subprocess.run(asked, capture_output=True, text=True, check=False).stderr:
        pytest.skip(f"needs a package index that has {name}")


class Project:
    """A copy of everything that a run needs, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            elif source.exists():
                shutil.copy(source, folder / part)

    def command(self, *arguments: str, configuration: Path = SMALL) -> list[str]:
        """The command line of a run."""
        return [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", str(configuration), *arguments]

    def environment(self) -> dict[str, str]:
        """This process's, with the copy's package before any installed one."""
        return {**os.environ, "PYTHONPATH": str(self.folder / "src")}

    def snakemake(self, *arguments: str, configuration: Path = SMALL, fails: bool = False, seconds: float = 900) -> str:
        """Run Snakemake in the copy and return all that it printed."""
        done = subprocess.run(
            self.command(*arguments, configuration=configuration),
            cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output[-6000:]
        return output

    def planned(self, *arguments: str, configuration: Path = SMALL) -> dict[str, int]:
        """Jobs that a run would do, by rule, from a dry run."""
        output = self.snakemake("--dry-run", *arguments, configuration=configuration)
        counts: dict[str, int] = {}
        for rule in JOB.findall(output):
            counts[rule] = counts.get(rule, 0) + 1
        return counts

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that must be there once."""
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path}"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def bytes_under(self, path: str) -> dict[str, bytes]:
        """Contents of all files under a folder, by relative path."""
        folder = self.folder / path
        return {
            str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
        }
