"""Our values beside the paper's: filled marks with intervals, and hollow ones."""

from pathlib import Path

import pandas as pd

from trulysafe.report.run import Run
from trulysafe.report.style import ARM_COLORS, GREY, Drawing, new_panels, shares
from trulysafe.report.tables.published import measured, published_rows

CAPTION = (
    "Equilibrate RLHF's main results beside ours, on benchmarks and for arms that the configuration calls the same. "
    "Filled: measured here, with 95% intervals. Hollow: the last version of the paper, which prints no intervals; the "
    "grey bar spans its versions."
)


def figure(run: Run) -> dict[str, Drawing]:
    """One figure per model of the paper that was measured here."""
    if run.published is None:
        return {}
    rows = published_rows(Path(run.published), measured(run))
    rows = rows[rows["metric"] != "mean"]  # over some benchmarks; the table has it
    models = rows.loc[rows["ours"].notna(), "model"].unique()
    return {f"_{model.lower()}" if len(models) > 1 else "": _drawn(rows[rows["model"] == model]) for model in models}


def _drawn(rows: pd.DataFrame) -> Drawing:
    """A panel per benchmark that was measured, the paper's methods below each other."""
    panels = list(dict.fromkeys(rows.loc[rows["ours"].notna(), "benchmark"]))
    rows = rows[rows["benchmark"].isin(panels)]
    methods = list(dict.fromkeys(rows["method"]))
    drawn, grid = new_panels(len(panels), 4, 0.55 + 0.2 * len(methods), 0.4, "Share of prompts", sharey=True)
    for axes, panel in zip(grid, panels, strict=True):
        of_panel = rows[rows["benchmark"] == panel]
        for row in of_panel.to_dict("records"):
            place = methods.index(row["method"])
            axes.plot([row["lowest"], row["highest"]], [place] * 2, color=GREY, linewidth=3, alpha=0.4)
            axes.plot(row["paper"], place, "D", color="white", markeredgecolor=ARM_COLORS[1], markersize=5)
            axes.plot([row["ci_low"], row["ci_high"]], [place] * 2, "|-", color=ARM_COLORS[0], linewidth=1.2)
            axes.plot(row["ours"], place, "o", color=ARM_COLORS[0], markersize=5, markeredgecolor="white")
        values = of_panel[["ours", "ci_low", "ci_high", "lowest", "highest"]].astype(float)
        shares(axes, "x", float(values.min().min()), float(values.max().max()), most=6)
        axes.set_title(panel)
        axes.tick_params(axis="y", length=0)
    grid[0].set_yticks(range(len(methods)), methods)
    grid[0].set_ylim(len(methods) - 0.5, -0.5)
    handles = [grid[0].plot([], [], "o", color=ARM_COLORS[0], label="measured here")[0]]
    handles += grid[0].plot([], [], "D", color="white", markeredgecolor=ARM_COLORS[1], label="published")
    drawn.legend(handles=handles, loc="outside lower center", ncols=2)
    return Drawing(drawn, rows)
