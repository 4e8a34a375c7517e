"""Every column of the main table as a panel, one dot with its interval per arm."""

from typing import Any

import pandas as pd

from trulysafe.report.run import Arms, Run, label_of
from trulysafe.report.style import GREY, Drawing, arm_looks, count_note, new_panels, shares
from trulysafe.report.tables.main import COLUMNS, main_rows

CAPTION = "Each outcome per arm, 95% interval and n. Panels of harmful prompts share limits; the others fit their data."


def figure(run: Run) -> dict[str, Drawing]:
    """One figure per group of arms."""
    return {group: classes(run.metrics, arms) for group, arms in run.groups.items()}


def classes(metrics: pd.DataFrame, arms: Arms) -> Drawing:
    """One dot with its interval per arm in the panel of each column."""
    rows = main_rows(metrics, arms)
    panels = [column for column in COLUMNS if column in set(rows["column"])]
    names, looks = list(dict.fromkeys(rows["experiment"])), arm_looks(arms)
    height = 0.55 + 0.17 * len(names)
    figure, grid = new_panels(len(panels), 4, height, 0.2, "Share of prompts", sharey=True)
    safe = rows[rows["column"].str.startswith("Safe")]
    for axes, panel in zip(grid, panels, strict=True):
        of_panel = rows[rows["column"] == panel]
        for row in of_panel.to_dict("records"):
            look, place = looks[row["experiment"]], names.index(row["experiment"])
            axes.plot([row["ci_low"], row["ci_high"]], [place] * 2, "|-", color=look.color, linewidth=1.2, markersize=5)
            dot: dict[str, Any] = {"color": look.color, "markeredgecolor": "white", "markeredgewidth": 0.4}
            axes.plot(row["value"], place, look.marker, markersize=7 if look.marker == "*" else 5, **dot)
        axes.tick_params(axis="y", length=0)
        within = safe if panel.startswith("Safe") else of_panel
        shares(axes, "x", float(within["ci_low"].min()), float(within["ci_high"].max()), most=6)
        axes.set_title(panel, pad=12)
        count: dict[str, Any] = {"ha": "center", "fontsize": 6.5, "color": GREY}
        axes.annotate(count_note(of_panel["n"]), (0.5, 1), (0, 3), "axes fraction", "offset points", **count)
    grid[0].set_yticks(range(len(names)), [label_of(arms, name) for name in names])
    grid[0].set_ylim(len(names) - 0.5, -0.5)
    return Drawing(figure, rows)
