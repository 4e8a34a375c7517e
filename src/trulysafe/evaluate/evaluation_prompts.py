"""The prompts of a benchmark, as many as a snapshot is worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from trulysafe.data.roles import at_most, rows_of_role


def benchmark_prompts(benchmark: Mapping[str, Any], split: Path | str, last: bool) -> pd.DataFrame:
    """Prompts that a policy answers for one benchmark.

    Args:
        benchmark: a stanza of ``benchmarks`` with ``datasets`` resolved to table paths.
        split: the split table.
        last: whether the policy is an end point; earlier snapshots answer ``frontier_rows`` per risk class.

    Returns:
        A prompts table, possibly empty for an earlier snapshot.
    """
    prompts = rows_of_role(
        benchmark["datasets"], "prompts", split, "evaluation", risks=benchmark["risks"]
    ).drop_duplicates("prompt_id")
    rows = benchmark["rows"]
    if not last and benchmark["frontier_rows"] is not None:
        rows = benchmark["frontier_rows"] if rows is None else min(rows, benchmark["frontier_rows"])
    parts = [at_most(group, rows) for _, group in prompts.groupby("risk", sort=True)]
    return pd.concat(parts, ignore_index=True)
