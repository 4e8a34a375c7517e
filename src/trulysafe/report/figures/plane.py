"""The safety-versus-over-refusal plane with frontiers over training steps.

An end point alone is arbitrary, since more steps move every arm along the plane; the frontier shows what an arm pays for safety.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from trulysafe.common.errors import UserError
from trulysafe.evaluate.frontiers import points
from trulysafe.evaluate.metrics import POOLED
from trulysafe.report.arms import Arms, bases_of, label_of
from trulysafe.report.run import Run
from trulysafe.report.style import COLUMN, GREY, Drawing, Look, arm_looks, count_note, new_figure, shares

CAPTION = (
    "Safety against over-refusal. Lines join the snapshots of an arm, from the base model (star) to the end of training (filled marker, with 95% "
    "intervals both ways); small faint markers are the end points of single seeds. Intervals that leave the frame are in the tables. Up and to the "
    "left is better."
)

LEAST_WIDTH = 0.05
"""The axis of over-refusal shows this much at least, and every point. Intervals may leave it: that of a base model alone would press all arms together."""


def figure(run: Run) -> dict[str, Drawing]:
    """One plane per group of arms, where both axes are measured."""
    if not {"test/safety", "test/over_refusal"} <= set(run.metrics["benchmark"]):
        return {}
    return {group: plane(run.metrics, arms) for group, arms in run.groups.items()}


def plane(metrics: pd.DataFrame, arms: Arms) -> Drawing:
    """Safety against over-refusal: one frontier over training steps per arm, intervals and single seeds at its end.

    Args:
        metrics: table of schema ``metrics`` with summary rows.
        arms: experiments to draw, in order; those without metrics are left out. A ``base`` is drawn as a star, and each frontier begins at the
            end of the arm's ``start``.

    Returns:
        The figure with its numbers (:func:`trulysafe.evaluate.frontiers.points`).

    Raises:
        UserError: no arm has been measured on both axes.
    """
    found = _points_of(metrics, arms)
    pooled = found[found["seed"] == POOLED]
    measured, stars = set(pooled["experiment"]), bases_of(arms)
    drawn = [name for name in arms if name in measured and name not in stars]
    figure, grid = new_figure(COLUMN, COLUMN + 0.16 * (len(drawn) // 2 + 1))
    axes, all_looks = grid[0, 0], arm_looks(arms)
    ends = found.sort_values("step").drop_duplicates(["experiment", "seed"], keep="last")
    limits = ends[ends["seed"] == POOLED]
    for name in (name for name in stars if name in measured):
        _star(axes, limits[limits["experiment"] == name].iloc[0], all_looks[name], label_of(arms, name))
    for name in drawn:
        start = limits[limits["experiment"] == arms[name].get("start")]
        _frontier(axes, found[found["experiment"] == name], start, all_looks[name], label_of(arms, name))
    shares(axes, "x", 0.0, max(float(found["x"].max()), LEAST_WIDTH))
    shares(axes, "y", float(min(pooled["y"].min(), ends["y"].min(), limits["y_low"].min())), 1.0)
    axes.set_xlabel(f"Harmless look-alikes refused (share, {count_note(limits['x_n'])})")
    axes.set_ylabel(f"Harmful prompts handled safely (share, {count_note(limits['y_n'])})")
    axes.set_title("\N{NORTH WEST ARROW} better", loc="left", fontsize=7, color=GREY, fontweight="normal")
    figure.legend(loc="outside lower center", ncols=2, handlelength=2.6, columnspacing=1.2)
    return Drawing(figure, found)


def _points_of(metrics: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    found = points(metrics[metrics["experiment"].isin(list(arms))])
    if found.empty:
        raise UserError(
            f"plane: none of the arms {', '.join(arms)} has both safe and over_refusal on test benchmarks. Declare a benchmark of axis "
            "safety and one of axis over_refusal."
        )
    found.insert(1, "label", found["experiment"].map(lambda name: label_of(arms, name)))
    return found


def _star(axes: Axes, point: pd.Series, look: Look, label: str) -> None:
    """A model before any training, with its intervals."""
    _cross(axes, point, look.color)
    place = [point["x"]], [point["y"]]
    axes.plot(*place, look.marker, color=look.color, markersize=9, zorder=6, label=label, linestyle="none")


def _frontier(axes: Axes, of_arm: pd.DataFrame, start: pd.DataFrame, look: Look, label: str) -> None:
    """The pooled path over steps, its end with intervals, and the end points of single seeds."""
    path = of_arm[of_arm["seed"] == POOLED]
    end = path.iloc[-1]
    _path(axes, path, start, look)
    _seeds(axes, of_arm[(of_arm["seed"] != POOLED) & (of_arm["step"] == end["step"])], look)
    _cross(axes, end, look.color)
    _mark(axes, [end["x"]], [end["y"]], look, linestyle="none", markersize=6, zorder=6)
    _mark(axes, [], [], look, linestyle=look.dash, label=label)  # for the legend


def _path(axes: Axes, path: pd.DataFrame, start: pd.DataFrame, look: Look) -> None:
    """The line from where the arm starts, with an open marker at every snapshot before the end."""
    joined = pd.concat([start, path]) if len(start) and 0 not in set(path["step"]) else path
    axes.plot(joined["x"], joined["y"], linestyle=look.dash, color=look.color, zorder=3)
    before = path.iloc[:-1]
    axes.plot(before["x"], before["y"], look.marker, color="white", markeredgecolor=look.color, markersize=3, zorder=4)


def _seeds(axes: Axes, ends: pd.DataFrame, look: Look) -> None:
    """End points of single seeds, faintly, where there are several."""
    if len(ends) > 1:
        faint: dict[str, Any] = {"alpha": 0.3, "markersize": 2.5, "markeredgewidth": 0, "zorder": 2}
        axes.plot(ends["x"], ends["y"], look.marker, color=look.color, **faint)


def _mark(axes: Axes, x: list[float], y: list[float], look: Look, **options: Any) -> None:
    """The marker of an arm, edged in white."""
    edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.6}
    axes.plot(x, y, marker=look.marker, color=look.color, **edge, **options)


def _cross(axes: Axes, point: pd.Series, color: str) -> None:
    axes.plot([point["x_low"], point["x_high"]], [point["y"]] * 2, color=color, linewidth=0.9, zorder=5)
    axes.plot([point["x"]] * 2, [point["y_low"], point["y_high"]], color=color, linewidth=0.9, zorder=5)
