"""How the risk classes, over-refusal and helpfulness move with one quantity, such as the number of pairs of a class."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from trulysafe.report.run import Run
from trulysafe.report.style import PAGE, RISK_LOOKS, Drawing, count_note, new_figure
from trulysafe.report.tables.main import main_rows

CAPTION = "Outcomes as one quantity varies and all else stays. Bands are 95% intervals over seeds and prompt families."
CURVES = {"Safe, per risk class": ("Safe EHD", "Safe IHD", "Safe MHD")}
CURVES["Other outcomes"] = ("Helpful", "Over-refusal", "Malformed")


def figure(run: Run) -> dict[str, Drawing]:
    """One figure per sweep of the configuration."""
    return {f"_{name}": sweep(run.metrics, about["points"], about["label"]) for name, about in run.sweeps.items()}


def sweep(metrics: pd.DataFrame, points: Mapping[str, float], axis_label: str) -> Drawing:
    """Columns of the main table over ``points`` (experiment -> place); ``axis_label`` says what varies, in its unit."""
    rows = main_rows(metrics, {name: {} for name in points})
    rows.insert(0, "x", rows["experiment"].map(dict(points)).astype(float))
    rows = rows.sort_values(["column", "x"], ignore_index=True)
    figure, grid = new_figure(PAGE * 0.8, 2.3, columns=2, sharey=True)
    for axes, (title, columns) in zip(grid[0], CURVES.items(), strict=True):
        ends: list[tuple[str, str, float]] = []
        for column in columns:
            curve = rows[rows["column"] == column]
            if len(curve):
                look = RISK_LOOKS[column.removeprefix("Safe ")]
                band = {"color": look.color, "alpha": 0.15, "linewidth": 0}
                axes.fill_between(curve["x"], curve["ci_low"], curve["ci_high"], **band)
                axes.plot(curve["x"], curve["value"], marker=look.marker, linestyle=look.dash, color=look.color)
                ends.append((column.removeprefix("Safe "), look.color, float(curve["value"].iloc[-1])))
        ends.sort(key=lambda end: end[2])
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
        for (name, color, _), height in zip(ends, _apart([end[2] for end in ends]), strict=True):
            axes.annotate(name, (1.0, height), (4, 0), color=color, fontsize=7, annotation_clip=False, **place)
        drawn = rows[rows["column"].isin(columns)]
        axes.set_title(f"{title} ({count_note(drawn['n'])})" if len(drawn) else title, loc="left", fontweight="normal")
        axes.set_xlabel(textwrap.fill(axis_label, 36))
        _amounts(axes, rows["x"].unique())
        axes.set_ylim(-0.03, 1.03)
    grid[0, 0].set_ylabel("Share of prompts")
    return Drawing(figure, rows)


def _apart(values: list[float], gap: float = 0.085, highest: float = 1.0) -> list[float]:
    """Increasing heights near increasing values, at least ``gap`` apart and not above ``highest``."""
    upward, downward = list(values), list(values)
    for place in range(1, len(values)):
        upward[place] = max(values[place], upward[place - 1] + gap)
        downward[-1 - place] = min(values[-1 - place], downward[-place] - gap)
    middle = [(up + down) / 2 for up, down in zip(upward, downward, strict=True)]
    return [min(height, highest - gap * (len(values) - 1 - place)) for place, height in enumerate(middle)]


def _amounts(axes: Axes, values: np.ndarray) -> None:
    """Ticks at the amounts that were run; logarithmic (linear near 0) where they span more than a factor of 8."""
    positive = values[values > 0]
    if len(positive) > 1 and positive.max() / positive.min() > 8:
        axes.set_xscale("symlog", linthresh=float(positive.min()), linscale=0.6)
    axes.xaxis.set_major_locator(FixedLocator(sorted(values)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{value:,g}" for value in sorted(values)])
