"""The folder of costs: wall time per rule, and what pairs cost per step and over whole trainings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.report import cost
from trulysafe.report.cost_formula import extrapolated
from trulysafe.report.job_times import duration, job_times, time_rows
from trulysafe.report.run import Run
from trulysafe.report.style import ARM_COLORS, COLUMN, GREY, Drawing, new_figure
from trulysafe.report.table import Table


def write_costs(folder: Path, run: Run, timings: Path | str, planned: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what a run cost into a new folder; what nothing was measured of is left out. ``timings`` is the folder of
    the benchmark files, ``planned`` is what led to each arm (:func:`trulysafe.report.cost.read_work`)."""
    folder.mkdir()
    times = job_times(timings)
    time_rows(times).to_csv(folder / "per_rule.csv", index=False)
    wall_time(times).write(folder / "wall_time")
    costs, arms = cost.read_costs(run.given("policies")), run.arms
    if len(costs):
        rows = cost.cost_rows(costs, run.metrics, arms)
        ratios = cost.ratio_rows(rows[rows["experiment"].isin(list(planned))])
        table = Table(rows, cost.cost_text(rows, arms), cost.CAPTION + cost.ratio_caption(ratios, arms))
        table.write(folder / "training", label="tab:training_cost")
        if len(ratios):
            ratios.to_csv(folder / "overhead_ratios.csv", index=False)
        if len(ratios) and run.published:
            extrapolated(run.published).write(folder / "extrapolated")
        work = cost.read_work(planned)
        whole = cost.whole_rows(costs, work, run.metrics, arms)
        if len(whole):
            Table(whole, cost.whole_text(whole, arms), cost.WHOLE_CAPTION).write(folder / "whole_trainings")
            cost.pair_job_rows(work).to_csv(folder / "pair_jobs.csv", index=False)
            if len(between := cost.whole_ratios(whole)):
                between.to_csv(folder / "whole_ratios.csv", index=False)


def wall_time(times: pd.DataFrame) -> Drawing:
    """Wall time per rule, summed over its jobs: columns rule and seconds, one row per job."""
    if times.empty:
        raise UserError("wall time: no job has a benchmark file. Run the workflow first.")
    rows = time_rows(times)[::-1].reset_index(drop=True)
    figure, grid = new_figure(COLUMN + 1, 0.5 + 0.19 * len(rows))
    axes = grid[0, 0]
    axes.barh(rows["rule"].str.replace("_", " "), rows["seconds"], color=ARM_COLORS[0], height=0.62)
    for place, row in enumerate(rows.to_dict("records")):
        jobs = f", {row['jobs']} jobs" if row["jobs"] > 1 else ""
        at = {"textcoords": "offset points", "va": "center", "fontsize": 7, "color": GREY}
        axes.annotate(f"{duration(row['seconds'])}{jobs}", (row["seconds"], place), (3, 0), **at)
    axes.set(xlim=(0, float(rows["seconds"].max()) * 1.3), ylim=(-0.6, len(rows) - 0.4))
    axes.set_xlabel("Wall time (s), summed over the rule's jobs")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    return Drawing(figure, rows)
