"""Which classes a risk labeller takes for one another."""

import pandas as pd

from trulysafe.common.schema import RISKS
from trulysafe.report.run import Run
from trulysafe.report.table import Table

CAPTION = "Risk labellers on held-out prompts: released class (rows) and class that the labeller gave (columns)."


def table(run: Run) -> Table | None:
    """One line per labeller and released class."""
    if not run.labellers:
        return None
    found = [
        {"labeller": name, "true": true, "predicted": predicted, "count": count}
        for name, metrics, _ in run.labellers
        for confusion in [metrics["scores"][metrics["chosen"]]["confusion"]]
        for true, of_class in zip(confusion["classes"], confusion["counts"], strict=True)
        if sum(of_class)
        for predicted, count in zip(confusion["classes"], of_class, strict=True)
    ]
    counts = pd.DataFrame(found)
    order = [risk for risk in RISKS if risk in {*counts["true"], *counts["predicted"]}]
    wide = counts.pivot_table(index=["labeller", "true"], columns="predicted", values="count", sort=False)
    rows = [key for name in counts["labeller"].unique() for risk in order if (key := (name, risk)) in wide.index]
    wide = wide.reindex(index=pd.MultiIndex.from_tuples(rows), columns=order).fillna(0).astype(int)
    wide = wide.assign(n=wide.sum(axis=1)).rename_axis(["Labeller", "Released class"]).rename_axis(columns=None)
    return Table(counts, wide.reset_index(), CAPTION)
