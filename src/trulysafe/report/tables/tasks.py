"""Each benchmark task by itself: the main table has all of them in one number."""

import pandas as pd

from trulysafe.evaluate.metrics import POOLED
from trulysafe.report.run import Run, at_last_step, in_order
from trulysafe.report.table import Table, cells, spread

CAPTION = (
    "Benchmark tasks by lm-evaluation-harness: share of documents in which each arm, at the end of training, chose or "
    "wrote what is right, by the metric (and filter) that counts. Brackets hold 95% intervals from resampling training "
    "seeds and documents together."
)


def table(run: Run) -> Table | None:
    """One line per task, one column per arm."""
    rows = at_last_step(run.metrics)
    rows = rows[(rows["seed"] == POOLED) & (rows["risk"] == "all") & (rows["metric"] == "helpful")]
    every = run.benchmarks.items()
    tasks = {name: about["judge"] for name, about in every if about["task"] and about["purpose"] == "test"}
    rows = in_order(rows[rows["judge"] == rows["benchmark"].map(tasks)], run.arms)
    if rows.empty:
        return None
    order = {name: place for place, name in enumerate(tasks)}
    rows = rows.sort_values("benchmark", key=lambda names: names.map(order), kind="stable")
    named = rows.assign(column=rows["label"], cell=cells(rows, "value", ".3f"), by=rows["judge"].str.replace("_", " "))
    arms = list(dict.fromkeys(in_order(rows, run.arms)["label"]))
    shown = spread(
        named.assign(task=rows["benchmark"].str.replace("_", " ")), arms, {"task": "Task", "by": "Metric"}, "benchmark"
    )
    numbers = ["experiment", "label", "step", "benchmark", "judge", "value", "ci_low", "ci_high", "n"]
    return Table(rows[numbers].reset_index(drop=True), pd.DataFrame(shown), CAPTION)
