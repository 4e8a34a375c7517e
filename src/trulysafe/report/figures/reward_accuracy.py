"""How well a single layer's probe ranks pairs, beside the hybrid reward over all layers."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes

from trulysafe.common.schema import UNLABELLED
from trulysafe.report.run import Run
from trulysafe.report.style import GREY, RISK_LOOKS, Drawing, Look, count_note, layer_ticks, new_panels, require, shares

HYBRID = 0
"""Layer of rows that measure the hybrid reward over all layers."""
CAPTION = (
    "Share of held-out pairs that the probe of a single layer ranks right, per risk class, and the hybrid reward over "
    "all layers (dashed, with band). Bars and band are 95% intervals. Below the dotted line of chance the reward "
    "prefers the wrong answer."
)


def figure(run: Run) -> dict[str, Drawing]:
    """One figure per reward."""
    return {reward: reward_accuracy(accuracy) for reward, accuracy in run.layer_accuracy.items()}


def reward_accuracy(accuracy: pd.DataFrame) -> Drawing:
    """One panel per risk class; ``accuracy`` is :attr:`trulysafe.report.run.Run.layer_accuracy` of one reward."""
    require(accuracy, ("layer", "risk", "accuracy", "n", "ci_low", "ci_high"), "reward accuracy")
    risks = panel_risks(accuracy["risk"])
    figure, grid = new_panels(len(risks), 4, 1.6, 0.3, "Layer", sharex=True, sharey=True)
    layers = accuracy[accuracy["layer"] != HYBRID]
    for axes, risk in zip(grid, risks, strict=True):
        rows = accuracy[accuracy["risk"] == risk]
        _accuracy_panel(axes, rows, RISK_LOOKS.get(risk, RISK_LOOKS["all"]))
        axes.set_title(f"{risk.replace('_', '-')} ({count_note(rows['n'])})", loc="left", fontweight="normal")
    low, high = min(0.5, float(accuracy["ci_low"].min())), float(accuracy["ci_high"].max())
    shares(grid[0], "y", low, max(high, 0.6), most=7)
    layer_ticks(grid[0], layers["layer"].unique())
    figure.supylabel("Pairs ranked right (share)", fontsize=8)
    handles = [grid[0].plot([], [], color=GREY, marker="o", label="probe of one layer")[0]]
    handles += [grid[0].axhline(-9, color=GREY, linestyle=(0, (5, 1.5)), label="hybrid reward")]
    handles += [grid[0].axhline(-9, color=GREY, linestyle=(0, (1, 1)), linewidth=0.8, label="chance")]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return Drawing(figure, accuracy)


def panel_risks(found: Iterable[str]) -> list[str]:
    """Risk classes in the order of their panels; without any labels there is one panel, of all pairs."""
    every = set(found)
    risks = [risk for risk in RISK_LOOKS if risk in every]
    risks += sorted(every - set(risks))
    return risks[:1] if every == {"all", UNLABELLED} else risks


def _accuracy_panel(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    single = rows[rows["layer"] != HYBRID].sort_values("layer")
    axes.axhline(0.5, color=GREY, linestyle=(0, (1, 1)), linewidth=0.8)
    for row in rows[rows["layer"] == HYBRID].to_dict("records"):
        axes.axhspan(row["ci_low"], row["ci_high"], color=look.color, alpha=0.1, linewidth=0)
        axes.axhline(row["accuracy"], color=look.color, linestyle=(0, (5, 1.5)))
    axes.vlines(single["layer"], single["ci_low"], single["ci_high"], color=look.color, linewidth=0.9)
    size = 4 if len(single) < 20 else 2.5
    axes.plot(single["layer"], single["accuracy"], marker=look.marker, color=look.color, markersize=size)
