"""How far every judge agrees with people, and whether it is milder or stricter than they are."""

import pandas as pd
from matplotlib.axes import Axes

from trulysafe.evaluate.people import ALL
from trulysafe.report.run import Run
from trulysafe.report.style import ARM_COLORS, GREY, PAGE, Drawing, count_note, new_figure
from trulysafe.report.tables.people import PARTS

CAPTION = (
    "Judges against people's labels of the same responses, none of them to a prompt that a judge was fitted on, with "
    "95% intervals. Left: Cohen's kappa, 0 is chance. Right: share of responses called safe (or refusals) by the judge "
    "less that by people; above 0 the judge is milder, or sees more refusals."
)
PANELS = {"kappa": "Agreement with people (kappa)", "bias": "Judge's share less people's"}


def figure(run: Run) -> Drawing | None:
    """One row of panels per kind of label: kappa, and bias."""
    if run.people.empty:
        return None
    rows = run.people[(run.people["dataset"] == ALL) & run.people["metric"].isin(PANELS)]
    parts, judges = [part for part in PARTS if part in set(rows["labels"])], list(dict.fromkeys(rows["judge"]))
    height = 0.5 + len(parts) * (0.45 + 0.2 * len(judges))
    drawn, grid = new_figure(PAGE, height, len(parts), 2, sharex="col", sharey=True)
    for row_of_axes, part in zip(grid, parts, strict=True):
        for axes, metric in zip(row_of_axes, PANELS, strict=True):
            _panel(axes, rows[(rows["labels"] == part) & (rows["metric"] == metric)], judges)
        counts = count_note(rows.loc[rows["labels"] == part, "n"])
        row_of_axes[0].set_title(f"Labels: {PARTS[part]} ({counts})", loc="left", fontweight="normal")
    for axes, label in zip(grid[-1], PANELS.values(), strict=True):
        axes.set_xlabel(label)
    return Drawing(drawn, rows)


def _panel(axes: Axes, rows: pd.DataFrame, judges: list[str]) -> None:
    axes.axvline(0, color=GREY, linewidth=0.8, linestyle=(0, (1, 1)))
    for row in rows.to_dict("records"):
        place = judges.index(row["judge"])
        axes.plot([row["ci_low"], row["ci_high"]], [place] * 2, "|-", color=ARM_COLORS[0], linewidth=1.2, markersize=5)
        axes.plot(row["value"], place, "o", color=ARM_COLORS[0], markersize=5, markeredgecolor="white")
    axes.set_yticks(range(len(judges)), [name.replace("_", " ") for name in judges])
    axes.set_ylim(len(judges) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
