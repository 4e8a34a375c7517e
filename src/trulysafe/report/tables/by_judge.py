"""Every arm under every judge: judges can differ by more than methods do."""

import pandas as pd

from trulysafe.evaluate.metrics import POOLED
from trulysafe.evaluate.outcomes import MAIN, MAIN_METRIC
from trulysafe.report.run import Run, at_last_step, in_order
from trulysafe.report.table import Table, cells, spread

TITLES = {"safe": "Safe", "over_refusal": "Over-refusal", "helpful": "Helpful"}
"""Main metric of an axis -> how its columns begin."""
CAPTION = (
    "Each arm at the end of training under each judge, where several judged the same axis: harmful prompts handled "
    "safely, look-alikes refused, questions answered rightly. Contrasts are of the main judge. A judge that reads "
    "phrases sees how an answer is worded and no more. Brackets hold 95% intervals from resampling training seeds and "
    "prompt families together."
)


def table(run: Run) -> Table | None:
    """One line per arm, one column per metric and judge; none where no axis has two judges."""
    rows = at_last_step(run.metrics)
    rows = rows[(rows["seed"] == POOLED) & (rows["risk"] == "all") & (rows["judge"] != MAIN)]
    of_axis = pd.Series({f"test/{axis}": metric for axis, metric in MAIN_METRIC.items()})
    rows = rows[rows["benchmark"].map(of_axis) == rows["metric"]]
    rows = in_order(rows[rows.groupby("metric")["judge"].transform("nunique") > 1], run.arms)
    if rows.empty:
        return None
    rows = rows.assign(column=rows["metric"].map(TITLES) + ", " + rows["judge"].str.replace("_", " "))
    columns = [name for title in TITLES.values() for name in sorted(rows["column"].unique()) if name.startswith(title)]
    lines = spread(rows.assign(cell=cells(rows, "value")), columns, {"label": "Arm"})
    numbers = ["experiment", "label", "step", "metric", "judge", "value", "ci_low", "ci_high", "n"]
    return Table(rows[numbers].reset_index(drop=True), lines, CAPTION)
