"""What a run really took, beside the plan: from Snakemake's benchmark files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from trulysafe.report.job_times import job_times


def beside(table: pd.DataFrame, benchmarks: Path) -> pd.DataFrame:
    """Add what was measured to a plan.

    Args:
        table: from :func:`trulysafe.tools.cost.estimate.priced`.
        benchmarks: folder of benchmark files, one folder or file per rule.

    Returns:
        The table with columns jobs_done and measured_hours (both 0 where nothing ran), and ratio: measured over planned hours of the jobs
        done, missing where nothing ran.
    """
    done = job_times(benchmarks).groupby("rule")["seconds"]
    jobs, seconds = (table["rule"].map(found).fillna(0) for found in (done.count(), done.sum()))
    table = table.assign(jobs_done=jobs.astype(int), measured_hours=seconds.astype(float) / 3600)
    planned = table["hours_per_job"] * table["jobs_done"]
    return table.assign(ratio=(table["measured_hours"] / planned).where(table["jobs_done"] > 0))
