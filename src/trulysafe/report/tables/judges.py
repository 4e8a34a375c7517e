"""How far other judges agree with the main judge of each benchmark."""

import pandas as pd

from trulysafe.report.run import Run
from trulysafe.report.table import Cell, Table, cells

CAPTION = (
    "Judges beside the main judge of each benchmark, on the same answers at the end of training, all arms: share of "
    "the outcome by either judge, share of answers on which they agree, and Cohen's kappa (empty where neither ever "
    "differs from one outcome). Brackets hold 95% intervals from resampling training seeds and prompt families "
    "together."
)


def table(run: Run) -> Table | None:
    """One line per benchmark, outcome and other judge."""
    rows = run.judge_agreement
    if rows.empty:
        return None
    shown = {
        "Benchmark": rows["benchmark"].str.replace("_", " "),
        "Outcome": rows["outcome"].str.replace("_", " "),
        "Main judge": rows["main"],
        "Share": rows["main_share"].map(Cell),
        "Other judge": rows["judge"],
        "Its share": rows["share"].map(Cell),
        "Agreement": cells(rows, "agreement"),
        "Kappa": rows["kappa"].map(Cell),
        "n": rows["n"],
    }
    return Table(rows, pd.DataFrame(shown), CAPTION)
