"""Safety against helpfulness at the end of training."""

from typing import Any

import pandas as pd

from trulysafe.report.dots import limits
from trulysafe.report.run import Arms, Run
from trulysafe.report.square import cross, new_square
from trulysafe.report.style import Drawing, arm_looks, count_note, shares
from trulysafe.report.tables.main import main_rows

CAPTION = (
    "Safety against helpfulness at the end of training, with 95% intervals both ways; stars are untrained models. Up "
    "and to the right is better."
)
X, Y = "Helpful", "Safe all"


def figure(run: Run) -> dict[str, Drawing]:
    """One plane per group of arms, where both are measured."""
    found = {group: _of_arms_with_both(run, arms) for group, arms in run.groups.items()}
    return {group: _drawn(rows, run.groups[group]) for group, rows in found.items() if len(rows)}


def _of_arms_with_both(run: Run, arms: Arms) -> pd.DataFrame:
    rows = main_rows(run.metrics, arms)
    rows = rows[rows["column"].isin([X, Y])]
    return rows[rows.groupby("experiment")["column"].transform("nunique") == len((X, Y))].reset_index(drop=True)


def _drawn(rows: pd.DataFrame, arms: Arms) -> Drawing:
    """One point with its two intervals per arm."""
    values = {name: rows[rows["column"] == name].set_index("experiment") for name in (X, Y)}
    names = [name for name in arms if name in values[X].index]
    square = new_square(arms, names, "better \N{NORTH EAST ARROW}", "right")
    axes, labels, looks = square.axes, square.labels, arm_looks(arms)
    for name in names:
        (x, y), look = (values[column].loc[name] for column in (X, Y)), looks[name]
        of_x, of_y = ((way["value"], way["ci_low"], way["ci_high"]) for way in (x, y))
        cross(axes, of_x, of_y, look.color)
        mark: dict[str, Any] = {"markersize": 9 if look.marker == "*" else 6, "markeredgecolor": "white", "zorder": 5}
        axes.plot(x["value"], y["value"], look.marker, color=look.color, linestyle="none", label=labels[name], **mark)
    for axis, column in (("x", X), ("y", Y)):
        shares(axes, axis, *limits(values[column]))
    axes.set_xlabel(f"Questions answered rightly (share, {count_note(values[X]['n'])})")
    axes.set_ylabel(f"Harmful prompts handled safely (share, {count_note(values[Y]['n'])})")
    square.name_arms()
    return Drawing(square.figure, rows)
