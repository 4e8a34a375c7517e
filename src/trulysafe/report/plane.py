"""The safety-versus-over-refusal plane with frontiers over training steps.

An end point alone is arbitrary, since more steps move every arm along the plane; the frontier shows what an arm pays for safety.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from trulysafe.errors import UserError
from trulysafe.evaluation import POOLED
from trulysafe.outcomes import MAIN
from trulysafe.report.style import (
    COLUMN,
    GREY,
    Look,
    bases_of,
    count_note,
    label_of,
    looks,
    new_figure,
    shares,
    write_figure,
)
from trulysafe.report.tables import Arms

LEAST_WIDTH = 0.05
"""The axis of over-refusal shows this much at least, and every point. Intervals may leave it: that of a base model alone would press all arms together."""
REFUSED = {"over_refusal": "refused", "not_complying": "not complied with"}


def plane(
    metrics: pd.DataFrame,
    arms: Arms,
    stem: Path | str,
    *,
    against: str = "over_refusal",
    judge: str = MAIN,
    purpose: str = "test",
) -> list[Path]:
    """Safety against over-refusal: one frontier over training steps per arm, intervals and single seeds at its end.

    Args:
        metrics: table of schema ``metrics`` with summary rows.
        arms: experiments to draw, in order; those without metrics are left out. A ``base`` is drawn as a star, and each frontier begins at the
            end of the arm's ``start``.
        stem: path without ending.
        against: ``over_refusal`` (share refused) or ``not_complying`` (anything but complying).
        judge, purpose: which summary rows to read.

    Returns:
        Paths of the PDF, the PNG and the CSV, whose rows with seed -1 are pooled.
    """
    points = _plane_points(metrics, arms, against, judge, purpose)
    pooled = points[points["seed"] == POOLED]
    measured, stars = set(pooled["experiment"]), bases_of(arms)
    drawn = [name for name in arms if name in measured and name not in stars]
    figure, grid = new_figure(COLUMN, COLUMN + 0.16 * (len(drawn) // 2 + 1))
    axes, all_looks = grid[0, 0], looks(arms)
    ends = points.sort_values("step").drop_duplicates(["experiment", "seed"], keep="last")
    limits = ends[ends["seed"] == POOLED]
    for name in (name for name in stars if name in measured):
        _star(axes, limits[limits["experiment"] == name].iloc[0], all_looks[name], label_of(arms, name))
    for name in drawn:
        start = limits[limits["experiment"] == arms[name].get("start")]
        _frontier(axes, points[points["experiment"] == name], start, all_looks[name], label_of(arms, name))
    shares(axes, "x", 0.0, max(float(points["x"].max()), LEAST_WIDTH))
    shares(axes, "y", float(min(pooled["y"].min(), ends["y"].min(), limits["y_low"].min())), 1.0)
    axes.set_xlabel(f"Harmless look-alikes {REFUSED[against]} (share, {count_note(limits['x_n'])})")
    axes.set_ylabel(f"Harmful prompts handled safely (share, {count_note(limits['y_n'])})")
    axes.set_title("\N{NORTH WEST ARROW} better", loc="left", fontsize=7, color=GREY, fontweight="normal")
    figure.legend(loc="outside lower center", ncols=2, handlelength=2.6, columnspacing=1.2)
    return write_figure(figure, stem, points)


def _plane_points(metrics: pd.DataFrame, arms: Arms, against: str, judge: str, purpose: str) -> pd.DataFrame:
    rows = metrics[(metrics["judge"] == judge) & (metrics["risk"] == "all") & metrics["experiment"].isin(list(arms))]
    keys, sides = ["experiment", "seed", "step"], []
    for letter, axis, metric in (("x", "over_refusal", against), ("y", "safety", "safe")):
        side = rows[(rows["benchmark"] == f"{purpose}/{axis}") & (rows["metric"] == metric)]
        names = {"value": letter, "ci_low": f"{letter}_low", "ci_high": f"{letter}_high", "n": f"{letter}_n"}
        sides.append(side[[*keys, *names]].rename(columns=names))
    points = sides[0].merge(sides[1], on=keys).sort_values(keys, ignore_index=True)
    if points.empty:
        raise UserError(
            f"plane: no policy has both safe and {against!r} of judge {judge!r} on {purpose} benchmarks. "
            "Declare a benchmark of axis safety and one of axis over_refusal."
        )
    points.insert(1, "label", points["experiment"].map(lambda name: label_of(arms, name)))
    return points


def _star(axes: Axes, point: pd.Series, look: Look, label: str) -> None:
    """A model before any training, with its intervals."""
    _cross(axes, point, look.color)
    place = [point["x"]], [point["y"]]
    axes.plot(*place, look.marker, color=look.color, markersize=9, zorder=6, label=label, linestyle="none")


def _frontier(axes: Axes, points: pd.DataFrame, start: pd.DataFrame, look: Look, label: str) -> None:
    """The pooled path over steps, its end with intervals, and the end points of single seeds."""
    path = points[points["seed"] == POOLED]
    end = path.iloc[-1]
    joined = pd.concat([start, path]) if len(start) and 0 not in set(path["step"]) else path
    axes.plot(joined["x"], joined["y"], linestyle=look.dash, color=look.color, zorder=3)
    axes.plot(
        path["x"][:-1], path["y"][:-1], look.marker, color="white", markeredgecolor=look.color, markersize=3, zorder=4
    )
    singles = points[(points["seed"] != POOLED) & (points["step"] == end["step"])]
    if len(singles) > 1:
        axes.plot(
            singles["x"],
            singles["y"],
            look.marker,
            color=look.color,
            alpha=0.3,
            markersize=2.5,
            markeredgewidth=0,
            zorder=2,
        )
    _cross(axes, end, look.color)
    axes.plot(
        end["x"],
        end["y"],
        look.marker,
        color=look.color,
        markeredgecolor="white",
        markeredgewidth=0.6,
        markersize=6,
        zorder=6,
    )
    axes.plot(
        [],
        [],
        linestyle=look.dash,
        marker=look.marker,
        color=look.color,
        markeredgecolor="white",
        markeredgewidth=0.6,
        label=label,
    )


def _cross(axes: Axes, point: pd.Series, color: str) -> None:
    axes.plot([point["x_low"], point["x_high"]], [point["y"]] * 2, color=color, linewidth=0.9, zorder=5)
    axes.plot([point["x"]] * 2, [point["y_low"], point["y_high"]], color=color, linewidth=0.9, zorder=5)
