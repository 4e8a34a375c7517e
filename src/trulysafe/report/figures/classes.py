"""Every column of the main table as a panel, one dot with its interval per arm."""

import pandas as pd

from trulysafe.report.dots import dot_panels
from trulysafe.report.run import Arms, Run
from trulysafe.report.style import Drawing
from trulysafe.report.tables.main import COLUMNS, main_rows

CAPTION = "Each outcome per arm, 95% interval and n. Panels of harmful prompts share limits; the others fit their data."


def figure(run: Run) -> dict[str, Drawing]:
    """One figure per group of arms."""
    return {group: classes(run.metrics, arms) for group, arms in run.groups.items()}


def classes(metrics: pd.DataFrame, arms: Arms) -> Drawing:
    """One dot with its interval per arm in the panel of each column."""
    rows = main_rows(metrics, arms)
    panels = [column for column in COLUMNS if column in set(rows["column"])]
    safe = rows[rows["column"].str.startswith("Safe")]

    def within(panel: str) -> pd.DataFrame:
        return safe if panel.startswith("Safe") else rows[rows["column"] == panel]

    figure, _ = dot_panels(rows.assign(panel=rows["column"]), arms, panels, "Share of prompts", within)
    return Drawing(figure, rows)
