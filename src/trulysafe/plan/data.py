"""Tables of data sets, and which stages see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.uses import uses
from trulysafe.plan.paths import Results


@dataclass(frozen=True)
class Data:
    """Data sets: where their tables lie, how they are read, what they are used as."""

    config: Configuration
    results: Results

    def tables(self, names: Iterable[str]) -> list[str]:
        """Tables of data sets."""
        return [self.results(f"data/{name}.parquet") for name in names]

    def role_files(self) -> list[str]:
        """Fingerprints of the roles that the split gave the prompts of each data set."""
        return [self.results(f"data/roles/{name}.txt") for name in self.config.datasets]

    def roles(self, names: Iterable[str]) -> dict[str, str]:
        """These fingerprints as they are now, nothing before the split: a parameter of jobs that read rows by role."""
        files = {name: Path(self.results(f"data/roles/{name}.txt")) for name in names}
        return {name: file.read_text(encoding="utf-8").strip() for name, file in files.items() if file.is_file()}

    def options(self, name: str) -> dict[str, Any]:
        """Options of a data set's reader, with the data folder as the start of relative paths."""
        return self.config.datasets[name].options.below(self.config.data).model_dump()

    @property
    def used_as(self) -> dict[str, dict[str, Any]]:
        """Data sets by the role of the stages that read them, ``{"kind": ..., "datasets": [...]}``.

        What pairs are made of is left out: it lies in tables of its own.
        """
        found: dict[str, dict[str, Any]] = {}
        for use in uses(self.config):
            if use.role != "pairs" and use.datasets:
                names = found.get(use.role, {"datasets": []})["datasets"]
                found[use.role] = {"kind": use.kind, "datasets": sorted({*names, *use.datasets})}
        return found
