"""The hypothesis figure: what training does to the order of responses, beside what it does to their distribution."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from trulysafe.common.errors import UserError
from trulysafe.report.run import Arms, Run
from trulysafe.report.style import GREY, Drawing, Look, arm_legend, arm_looks, count_note, new_panels

PANELS = {
    "kendall": ("Order, pool", "Kendall's tau with\nthe reference"),
    "same_best": ("Order, pool", "Likeliest response\nunchanged (share)"),
    "pool_shift": ("Distribution, pool", "Log-likelihood,\nchange (nats/token)"),
    "fresh_shift": ("Distribution, new samples", "Likelihood under the\nreference (nats/token)"),
    "token_js": ("Distribution, new samples", "Token frequencies,\ndivergence (bits)"),
    "class_tv": ("Distribution, new samples", "Verdict shares,\ntotal variation"),
}
"""Drawn measures of :mod:`trulysafe.drift.measures`: title of the panel, label of its axis."""
UNCHANGED = {"kendall": 1.0, "spearman": 1.0, "same_best": 1.0, "pool_shift": 0.0, "fresh_shift": 0.0}
"""Values of a policy that is still the reference."""
CAPTION = (
    "Along training: how far the policy still ranks the pool's responses as the reference does (order), and how far "
    "its outputs have moved (distribution). Bars are 95% intervals; floors are what two sets of the reference's own "
    "samples give."
)


def figure(run: Run) -> Drawing | None:
    """The arms that were followed while they trained."""
    return None if run.drift.empty else order_and_distribution(run.drift, run.arms)


def order_and_distribution(rows: pd.DataFrame, arms: Arms) -> Drawing:
    """One panel per measure over training steps, one line per followed arm; the pool above, new samples below. A line
    starts at step 0 from the value of the policy that the arm starts from: the reference (1 for the order, 0 for
    shifts, the dotted floor for distances of samples), or the last step of another arm, where that was followed.
    UserError where no arm was followed."""
    drawn = [name for name in arms if name in set(rows["experiment"])]
    if not drawn:
        none = f"none of the arms {', '.join(arms)} was followed"
        raise UserError(f"order and distribution: {none}; see drift.experiments.")
    rows = rows[rows["experiment"].isin(drawn)]
    figure, grid = new_panels(len(PANELS), 3, 1.75, 0.35 + 0.16 * ceil(len(drawn) / 3), "Training step", sharex=True)
    all_looks = arm_looks(arms)
    for axes, measure in zip(grid, PANELS, strict=True):
        of_panel = rows[rows["measure"] == measure]
        floor = float(of_panel["floor"].iloc[0]) if len(of_panel) else float("nan")
        unchanged = UNCHANGED.get(measure, floor)
        axes.axhline(unchanged, color=GREY, linewidth=0.8, linestyle=":")
        for name in drawn:
            start = starting_value(of_panel, arms[name], unchanged)
            _line(axes, of_panel[of_panel["experiment"] == name], start, all_looks[name])
        axes.set_title(PANELS[measure][0], loc="left", fontweight="normal")
        axes.set_ylabel(PANELS[measure][1])
    seeds = rows.groupby("experiment")["seeds"].max()
    title = f"Seeds: {count_note(seeds)}; 95% intervals; dotted: the reference against itself"
    arm_legend(figure, grid[0], arms, drawn, title, markers=True)
    return Drawing(figure, rows.reset_index(drop=True))


def starting_value(rows: pd.DataFrame, about: Mapping[str, Any], unchanged: float) -> list[float]:
    """Value of a measure at step 0 of an arm, in a list; empty where it starts from a policy that was not followed."""
    start = about.get("start")
    if start == about.get("base"):
        return [unchanged]
    return rows.loc[rows["experiment"] == start].sort_values("step")["value"].tolist()[-1:]


def _line(axes: Axes, rows: pd.DataFrame, start: list[float], look: Look) -> None:
    """One arm from step 0 on, where that is known: its value, and its interval as a bar at each snapshot."""
    ordered = rows.sort_values("step")
    steps, values = [0] * len(start) + ordered["step"].tolist(), start + ordered["value"].tolist()
    marks: dict[str, Any] = {"marker": look.marker, "markersize": 3, "markevery": slice(len(start), None)}
    axes.plot(steps, values, linestyle=look.dash, color=look.color, **marks)
    axes.vlines(ordered["step"], ordered["ci_low"], ordered["ci_high"], color=look.color, linewidth=0.8, alpha=0.7)
