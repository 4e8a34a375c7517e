"""Safety against helpfulness at the end of training."""

from typing import Any

import pandas as pd

from trulysafe.report.dots import limits
from trulysafe.report.run import Arms, Run, label_of
from trulysafe.report.style import (
    COLUMN,
    GREY,
    Drawing,
    arm_looks,
    count_note,
    in_lines,
    legend_columns,
    legend_text,
    new_figure,
    shares,
)
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
    labels = {name: legend_text(in_lines(label_of(arms, name), 54, lines=1)) for name in names}
    side_by_side = legend_columns([*labels.values()], 2, 53)
    figure, grid = new_figure(COLUMN, COLUMN + 0.16 * (len(names) // side_by_side + 1))
    axes, looks = grid[0, 0], arm_looks(arms)
    for name in names:
        (x, y), look = (values[column].loc[name] for column in (X, Y)), looks[name]
        axes.plot([x["ci_low"], x["ci_high"]], [y["value"]] * 2, color=look.color, linewidth=0.9)
        axes.plot([x["value"]] * 2, [y["ci_low"], y["ci_high"]], color=look.color, linewidth=0.9)
        mark: dict[str, Any] = {"markersize": 9 if look.marker == "*" else 6, "markeredgecolor": "white", "zorder": 5}
        axes.plot(x["value"], y["value"], look.marker, color=look.color, linestyle="none", label=labels[name], **mark)
    for axis, column in (("x", X), ("y", Y)):
        shares(axes, axis, *limits(values[column]))
    axes.set_xlabel(f"Questions answered rightly (share, {count_note(values[X]['n'])})")
    axes.set_ylabel(f"Harmful prompts handled safely (share, {count_note(values[Y]['n'])})")
    axes.set_title("better \N{NORTH EAST ARROW}", loc="right", fontsize=7, color=GREY, fontweight="normal")
    figure.legend(loc="outside lower center", ncols=side_by_side, columnspacing=1.2)
    return Drawing(figure, rows)
