"""The folder of costs: wall time per rule, and what pairs cost per step and over whole trainings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from trulysafe.report.arms import Arms
from trulysafe.report.captions import CAPTIONS
from trulysafe.report.cost import cost_rows, cost_text, ratio_caption, ratio_rows, read_costs
from trulysafe.report.figures import wall_time
from trulysafe.report.job_times import job_times
from trulysafe.report.round_cost import pair_job_rows, read_work, whole_ratios, whole_rows, whole_text
from trulysafe.report.tables import time_rows, write_tables


def write_costs(
    folder: Path,
    *,
    timings: Path | str,
    policies: Iterable[Path | str],
    planned: Mapping[str, Mapping[str, Any]],
    metrics: pd.DataFrame,
    arms: Arms,
) -> None:
    """Write what a run cost; what nothing was measured of is left out.

    Args:
        folder: where to; it is made.
        timings: folder of the benchmark files.
        policies: folders of the training jobs.
        planned: what led to each arm, see :func:`trulysafe.report.round_cost.read_work`.
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
        caption = CAPTIONS["training_cost"] + ratio_caption(ratios, arms)
        write_tables(folder / "training", cost_text(rows, arms), rows, caption, "tab:training_cost")
        if len(ratios):
            ratios.to_csv(folder / "overhead_ratios.csv", index=False)
        work = read_work(planned)
        whole = whole_rows(costs, work, metrics, arms)
        if len(whole):
            text = whole_text(whole, arms)
            write_tables(folder / "whole_trainings", text, whole, CAPTIONS["whole_trainings"], "tab:whole_trainings")
            pair_job_rows(work).to_csv(folder / "pair_jobs.csv", index=False)
            if len(between := whole_ratios(whole)):
                between.to_csv(folder / "whole_ratios.csv", index=False)
