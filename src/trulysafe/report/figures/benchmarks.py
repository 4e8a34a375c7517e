"""Every benchmark as a panel, one dot with its interval per arm."""

import pandas as pd

from trulysafe.evaluate.metrics import POOLED
from trulysafe.evaluate.outcomes import MAIN_METRIC
from trulysafe.report.dots import dot_panels
from trulysafe.report.run import Arms, Run, at_last_step, in_order
from trulysafe.report.style import Drawing

CAPTION = (
    "Each benchmark per arm at the end of training, by its main judge, with 95% interval and n: harmful prompts "
    "handled safely, look-alikes refused, questions answered rightly. Axes fit their data."
)
TITLES = {"safe": "safe", "over_refusal": "refused", "helpful": "right"}
"""Main metric -> what a panel's title says of it."""


def figure(run: Run) -> dict[str, Drawing]:
    """One figure per group of arms; none where there is one benchmark alone."""
    found = {group: benchmark_rows(run, arms) for group, arms in run.groups.items()}
    return {group: _drawn(rows, run.groups[group]) for group, rows in found.items() if rows["panel"].nunique() > 1}


def benchmark_rows(run: Run, arms: Arms) -> pd.DataFrame:
    """The main outcome of every test benchmark, a row per benchmark and arm: columns panel, benchmark, experiment,
    label, step, metric, value, ci_low, ci_high and n."""
    rows = at_last_step(run.metrics)
    rows = rows[(rows["seed"] == POOLED) & (rows["risk"] == "all")]
    mains = pd.DataFrame([{"benchmark": name, **about} for name, about in run.benchmarks.items()])
    if mains.empty or rows.empty:
        return pd.DataFrame(columns=["panel"])
    mains["metric"] = mains["axis"].map(MAIN_METRIC)
    rows = rows.merge(mains[mains["purpose"] == "test"], on=["benchmark", "judge", "metric"])
    order = {name: place for place, name in enumerate(run.benchmarks)}
    rows = in_order(rows.sort_values("benchmark", key=lambda names: names.map(order), kind="stable"), arms)
    rows = rows.assign(panel=rows["benchmark"].str.replace("_", " ") + ", " + rows["metric"].map(TITLES))
    columns = "panel benchmark experiment label step metric value ci_low ci_high n".split()
    return rows[columns].reset_index(drop=True)


def _drawn(rows: pd.DataFrame, arms: Arms) -> Drawing:
    drawn, _ = dot_panels(rows, arms, list(dict.fromkeys(rows["panel"])), "Share of prompts")
    return Drawing(drawn, rows)
