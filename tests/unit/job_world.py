"""A job as Snakemake would start it, and what it leaves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Named(list):
    """Snakemake's lists of files, which have names."""

    def __init__(self, **items):
        super().__init__(items.values())
        self.__dict__.update(items)
        self._named = items

    def items(self):
        return self._named.items()


def snakemake(**changes: Any) -> SimpleNamespace:
    """What a script of the rule ``demo`` is given."""
    parts = {
        "rule": "demo", "input": Named(), "output": Named(table="results/s/data/t.txt", folder="results/s/model"),
        "params": Named(code="abc"), "wildcards": Named(), "threads": 1, "log": ["results/s/logs/demo.log"],
    }  # fmt: skip
    return SimpleNamespace(**(parts | changes))


def write_both(run: Any) -> None:
    """Write both outputs of the rule."""
    run.output.table.write_text("done", encoding="utf-8")
    run.output.folder.mkdir()
    (run.output.folder / "x").write_text("y", encoding="utf-8")


def files(folder: Path) -> set[str]:
    """All files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
