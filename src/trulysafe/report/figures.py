"""Figures of single outcomes: the columns of the main table, sweeps of one quantity, and wall time.

Every function takes tidy numbers and the stem of its output, and writes a PDF, a PNG and the CSV of what was drawn.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from trulysafe.common.errors import UserError
from trulysafe.report.arms import Arms, label_of
from trulysafe.report.style import (
    COLUMN,
    GREY,
    PAGE,
    RISK_LOOKS,
    Look,
    count_note,
    looks,
    new_figure,
    new_panels,
    shares,
    write_figure,
)
from trulysafe.report.tables import MAIN_COLUMNS, duration, main_rows, time_rows


def classes(metrics: pd.DataFrame, arms: Arms, stem: Path | str) -> list[Path]:
    """Every column of the main table as a panel, one dot with its interval per arm.

    Args:
        metrics, arms: as in :func:`trulysafe.report.tables.main_rows`.
        stem: path without ending.
    """
    rows = main_rows(metrics, arms)
    panels = list(dict.fromkeys(column for column in MAIN_COLUMNS if column in set(rows["column"])))
    names = list(dict.fromkeys(rows["experiment"]))
    height = 0.55 + 0.17 * len(names)
    figure, grid = new_panels(len(panels), 4, height, 0.2, "Share of prompts", sharey=True)
    safe = rows[rows["column"].str.startswith("Safe")]
    for axes, panel in zip(grid, panels, strict=True):
        of_panel = rows[rows["column"] == panel]
        _dots(axes, of_panel, names, looks(arms))
        within = safe if panel.startswith("Safe") else of_panel
        shares(axes, "x", float(within["ci_low"].min()), float(within["ci_high"].max()), most=6)
        axes.set_title(panel, pad=12)
        axes.annotate(
            count_note(of_panel["n"]),
            (0.5, 1),
            (0, 3),
            "axes fraction",
            "offset points",
            ha="center",
            fontsize=6.5,
            color=GREY,
        )
    grid[0].set_yticks(range(len(names)), [label_of(arms, name) for name in names])
    grid[0].set_ylim(len(names) - 0.5, -0.5)
    return write_figure(figure, stem, rows)


def _dots(axes: Axes, rows: pd.DataFrame, names: list[str], all_looks: Mapping[str, Look]) -> None:
    """One line per arm, from top to bottom: its interval and, on it, its value."""
    for row in rows.to_dict("records"):
        look, place = all_looks[row["experiment"]], names.index(row["experiment"])
        axes.plot([row["ci_low"], row["ci_high"]], [place, place], "|-", color=look.color, linewidth=1.2, markersize=5)
        axes.plot(
            row["value"],
            place,
            look.marker,
            color=look.color,
            markeredgecolor="white",
            markeredgewidth=0.4,
            markersize=7 if look.marker == "*" else 5,
        )
    axes.tick_params(axis="y", length=0)


def sweep(metrics: pd.DataFrame, points: Mapping[str, float], stem: Path | str, *, axis_label: str) -> list[Path]:
    """How the risk classes, over-refusal and helpfulness move with one quantity, such as the number of pairs of a class.

    Args:
        metrics: table of schema ``metrics`` with summary rows.
        points: experiment -> value on the axis.
        stem: path without ending.
        axis_label: what varies, with its unit.
    """
    rows = main_rows(metrics, {name: {} for name in points})
    rows.insert(0, "x", rows["experiment"].map(dict(points)).astype(float))
    rows = rows.sort_values(["column", "x"], ignore_index=True)
    figure, grid = new_figure(PAGE * 0.8, 2.3, columns=2, sharey=True)
    curves = (("Safe EHD", "Safe IHD", "Safe MHD"), ("Helpful", "Over-refusal", "Malformed"))
    for axes, columns, title in zip(grid[0], curves, ("Safe, per risk class", "Other outcomes"), strict=True):
        ends = []
        for column in columns:
            curve = rows[rows["column"] == column]
            if len(curve):
                look = RISK_LOOKS[column.removeprefix("Safe ")]
                axes.fill_between(
                    curve["x"], curve["ci_low"], curve["ci_high"], color=look.color, alpha=0.15, linewidth=0
                )
                axes.plot(curve["x"], curve["value"], marker=look.marker, linestyle=look.dash, color=look.color)
                ends.append((column.removeprefix("Safe "), look.color, float(curve["value"].iloc[-1])))
        _end_labels(axes, ends)
        drawn = rows[rows["column"].isin(columns)]
        axes.set_title(f"{title} ({count_note(drawn['n'])})" if len(drawn) else title, loc="left", fontweight="normal")
        axes.set_xlabel(textwrap.fill(axis_label, 36))
        _amounts(axes, rows["x"].unique())
        axes.set_ylim(-0.03, 1.03)
    grid[0, 0].set_ylabel("Share of prompts")
    return write_figure(figure, stem, rows)


def _end_labels(axes: Axes, ends: list[tuple[str, str, float]]) -> None:
    """Write each curve's name to the right of its end, in the order of the ends."""
    ordered = sorted(ends, key=lambda end: end[2])
    for (name, color, _), height in zip(ordered, _apart([end[2] for end in ordered]), strict=True):
        place: dict[str, Any] = {
            "xycoords": ("axes fraction", "data"),
            "textcoords": "offset points",
            "va": "center",
            "fontsize": 7,
        }
        axes.annotate(name, (1.0, height), (4, 0), color=color, annotation_clip=False, **place)


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


def wall_time(times: pd.DataFrame, stem: Path | str) -> list[Path]:
    """Wall time per rule, summed over its jobs.

    Args:
        times: columns rule and seconds, one row per job.
        stem: path without ending.
    """
    if times.empty:
        raise UserError("wall time: no job has a benchmark file. Run the workflow first.")
    rows = time_rows(times)[::-1].reset_index(drop=True)
    figure, grid = new_figure(COLUMN + 1, 0.5 + 0.19 * len(rows))
    axes = grid[0, 0]
    axes.barh(rows["rule"].str.replace("_", " "), rows["seconds"], color="#0072B2", height=0.62)
    for place, row in enumerate(rows.to_dict("records")):
        jobs = f", {row['jobs']} jobs" if row["jobs"] > 1 else ""
        axes.annotate(
            f"{duration(row['seconds'])}{jobs}",
            (row["seconds"], place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=GREY,
        )
    axes.set_xlim(0, float(rows["seconds"].max()) * 1.3)
    axes.set_xlabel("Wall time (s), summed over the rule's jobs")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(-0.6, len(rows) - 0.4)
    return write_figure(figure, stem, rows)
