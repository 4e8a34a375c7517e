"""Published scores of a model beside what this evaluation measures of it."""

import pandas as pd

from trulysafe.report.run import Run, label_of
from trulysafe.report.table import Table, cells

CAPTION = (
    "Scores that the makers of a model publish, and the same model evaluated here: share of right choices, brackets: "
    "95% intervals from resampled items. Within says whether the published score lies in the interval; what differs "
    "may move either score."
)


def table(run: Run) -> Table | None:
    """One line per published score whose benchmark was measured."""
    given = pd.DataFrame.from_dict(dict(run.calibration), orient="index")
    if given.empty:
        return None
    at_start = run.metrics.query("seed == -1 and risk == 'all' and metric == 'helpful'")
    ours = at_start.drop(columns="metric").rename(columns={"judge": "metric", "value": "ours"})
    keys = ["experiment", "benchmark", "metric"]
    rows = given.rename(columns={"value": "published"}).merge(ours[[*keys, "ours", "ci_low", "ci_high", "n"]], on=keys)
    if rows.empty:
        return None
    rows["within"] = rows["published"].between(rows["ci_low"], rows["ci_high"])
    shown = {
        "Model": [label_of(run.arms, name) for name in rows["experiment"]],
        "Benchmark": rows["benchmark"].str.replace("_", " "),
        "Published": rows["published"].map("{:.3f}".format),
        "Ours": cells(rows, "ours", ".3f"),
        "n": rows["n"],
        "Within": rows["within"].map({True: "yes", False: "no"}),
        "What differs": rows["differs"],
        "Source": rows["source"],
    }
    return Table(rows, pd.DataFrame(shown), CAPTION)
