"""Tables of data sets, and which stages see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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

    def roles(self, names: Iterable[str]) -> list[str]:
        """What tells whether the split gave the prompts of data sets other roles than before."""
        return [self.results(f"data/roles/{name}.txt") for name in names]

    def options(self, name: str) -> dict[str, Any]:
        """Options of a data set's reader, with the data folder as the start of relative paths."""
        return self.config.datasets[name].options.below(self.config.data).model_dump()

    @property
    def used_as(self) -> dict[str, dict[str, Any]]:
        """Data sets by the role of the stages that read them, ``{"kind": ..., "datasets": [...]}``; what pairs are made of lies in tables of its own."""
        found: dict[str, dict[str, Any]] = {}
        for use in uses(self.config):
            if use.role != "pairs" and use.datasets:
                names = found.get(use.role, {"datasets": []})["datasets"]
                found[use.role] = {"kind": use.kind, "datasets": sorted({*names, *use.datasets})}
        return found
