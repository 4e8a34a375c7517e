"""The folder of costs: wall time per rule, and what pairs cost per step and over whole trainings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from trulysafe.report.cost import COST_CAPTION, cost_rows, cost_text, ratio_caption, ratio_rows, read_costs
from trulysafe.report.figures import wall_time
from trulysafe.report.round_cost import (
    ROUND_COST_CAPTION,
    pair_job_rows,
    read_work,
    whole_ratios,
    whole_rows,
    whole_text,
)
from trulysafe.report.tables import Arms, time_rows, write_tables


def job_times(timings: Path | str) -> pd.DataFrame:
    """Wall time of every job from Snakemake's benchmark files: columns rule, seconds.

    Args:
        timings: their folder; the first part of a file's path below it names the rule.
    """
    root = Path(timings)
    rows = [
        (path.relative_to(root).parts[0].removesuffix(".tsv"), pd.read_csv(path, sep="\t")["s"].iloc[0])
        for path in sorted(root.rglob("*.tsv"))
    ]
    return pd.DataFrame(rows, columns=["rule", "seconds"])


def write_costs(
    folder: Path,
    *,
    timings: Path | str,
    policies: Iterable[Path | str],
    planned: Mapping[str, Mapping[str, Any]],
    manifest_of: Callable[[Path], Path],
    metrics: pd.DataFrame,
    arms: Arms,
) -> None:
    """Write what a run cost; what nothing was measured of is left out.

    Args:
        folder: where to; it is made.
        timings: folder of the benchmark files.
        policies: folders of the training jobs.
        planned: what led to each arm, see :func:`trulysafe.report.round_cost.read_work`.
        manifest_of: path of the manifest of an output.
        metrics: table of schema ``metrics`` with summary rows.
        arms: experiments, in order.
    """
    folder.mkdir()
    times = job_times(timings)
    time_rows(times).to_csv(folder / "per_rule.csv", index=False)
    wall_time(times, folder / "wall_time")
    costs = read_costs(policies)
    if len(costs):
        rows = cost_rows(costs, metrics, arms)
        ratios = ratio_rows(rows)
        caption = COST_CAPTION + ratio_caption(ratios, arms)
        write_tables(folder / "training", cost_text(rows, arms), rows, caption, "tab:training_cost")
        if len(ratios):
            ratios.to_csv(folder / "overhead_ratios.csv", index=False)
        work = read_work(planned, manifest_of)
        whole = whole_rows(costs, work, metrics, arms)
        if len(whole):
            text = whole_text(whole, arms)
            write_tables(folder / "whole_trainings", text, whole, ROUND_COST_CAPTION, "tab:whole_trainings")
            pair_job_rows(work).to_csv(folder / "pair_jobs.csv", index=False)
            if len(between := whole_ratios(whole)):
                between.to_csv(folder / "whole_ratios.csv", index=False)
