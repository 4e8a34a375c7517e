"""How far judges agree with each other, and with people, on the same labelled responses."""

import pandas as pd

from trulysafe.evaluate.people import PEOPLE
from trulysafe.report.run import Run
from trulysafe.report.table import Cell, Table
from trulysafe.report.tables.people import PARTS

CAPTION = (
    "Cohen's kappa of every two judges, and of each with people, on the same responses that people labelled. Brackets "
    "hold 95% intervals from resampled prompts."
)


def table(run: Run) -> Table | None:
    """One line per two judges and kind of label."""
    rows = run.judges_on_labels
    if rows.empty:
        return None
    limits = rows[["kappa", "ci_low", "ci_high"]].itertuples(index=False, name=None)
    shown = {
        "Labels": rows["prompts"].map(PARTS),
        "First": rows["first"].str.replace("_", " "),
        "Second": rows["second"].str.replace("_", " ").replace(PEOPLE, "people"),
        "Kappa": [Cell(*numbers) for numbers in limits],
        "Agreement": rows["agreement"].map(Cell),
        "n": rows["n"],
    }
    return Table(rows, pd.DataFrame(shown), CAPTION)
