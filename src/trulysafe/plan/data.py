"""Tables of data sets, and which stages see them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trulysafe.config.resolved import uses
from trulysafe.plan.paths import Part
from trulysafe.workflow.provenance import manifest_path, read_notes


class Data(Part):
    """Data sets: where their tables lie, how they are read, what they are used as."""

    def tables(self, names: Iterable[str]) -> list[str]:
        """Tables of data sets."""
        return [self.results(f"data/{name}.parquet") for name in names]

    def roles(self, names: Iterable[str]) -> dict[str, str]:
        """Fingerprints of the roles of data sets' prompts by the last split, nothing before the first one. They are a
        parameter of jobs that read rows by role. The split's manifest has them, which outlives a split that fails."""
        split = Path(self.results("data/split.parquet"))
        known = read_notes(split).get("roles", {}) if manifest_path(split).is_file() else {}
        return {name: known[name] for name in names if name in known}

    def options(self, name: str) -> dict[str, Any]:
        """Options of a data set's reader, which reads what lies in the folder `data`, or fetched files."""
        return self.plan.prefetch.reader_options(name).model_dump(exclude={"urls"})

    @property
    def used_as(self) -> dict[str, dict[str, Any]]:
        """Data sets by the role of the stages that read them, ``{"kind": ..., "datasets": [...]}``. What pairs are made
        of is left out: it lies in tables of its own."""
        found: dict[str, dict[str, Any]] = {}
        for use in uses(self.config):
            if use.role != "pairs" and use.datasets:
                before = found.get(use.role, {"kind": use.kind, "datasets": []})
                kind = use.kind if before["kind"] == use.kind else "prompts"  # of which every table has the columns
                found[use.role] = {"kind": kind, "datasets": sorted({*before["datasets"], *use.datasets})}
        return found
