"""What became of the prompts that were asked for, in every synthesised data set."""

import pandas as pd

from trulysafe.report.run import Run
from trulysafe.report.table import Table

COLUMNS = {
    "asked": "Asked for",
    "readable": "Readable",
    "refused": "Refused",
    "too_long": "Too long",
    "unreadable": "Unreadable",
    "copied": "Copied",
    "repeated": "Repeated",
    "evaluated": "In evaluation",
    "kept": "Kept",
}
CAPTION = (
    "Prompts of synthesised data sets, by family: asked for, and readable at the last attempt; the others are "
    "refusals, requests too long for a local model, or in no readable form. Of the readable ones are left out: "
    "repetitions of a seed prompt or of the example that was shown, repetitions of another prompt of the set, and "
    "near-duplicates of what evaluation may ask. What functions write is always readable."
)


def table(run: Run) -> Table | None:
    """One line per data set and family."""
    rows = run.synthesised
    if rows.empty:
        return None
    about = {"Data set": rows["dataset"], "Family": rows["family"].str.replace("_", " ")}
    shown = pd.DataFrame(about | {header: rows[name] for name, header in COLUMNS.items()})
    return Table(rows, shown, CAPTION)
