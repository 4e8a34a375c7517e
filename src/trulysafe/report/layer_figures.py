"""Figures of the hybrid reward and of the layers that it reads: accuracy per layer, class densities, divergence."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import gaussian_kde

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.common.schema import UNLABELLED
from trulysafe.report.style import (
    GREY,
    PAGE,
    RISK_LOOKS,
    Look,
    count_note,
    new_figure,
    new_panels,
    shares,
    write_figure,
)

HYBRID = 0
"""Layer of rows that measure the hybrid reward over all layers."""
DIVERGENCES = {"kl_safe_unsafe": "KL(safe || unsafe)", "kl_unsafe_safe": "KL(unsafe || safe)"}
"""Divergence columns and their names."""


class LayerTables(NamedTuple):
    """What was measured on the layers that one reward reads."""

    accuracy: pd.DataFrame
    """See :func:`reward_accuracy`."""
    components: pd.DataFrame
    divergence: pd.DataFrame
    """See :func:`layer_densities`."""


_SAFE, _UNSAFE = "#0072B2", "#D55E00"


def reward_accuracy(accuracy: pd.DataFrame, stem: Path | str) -> list[Path]:
    """Share of pairs that a single layer's probe ranks right, per layer and risk class, beside the hybrid reward.

    Args:
        accuracy: columns layer (1..L, or 0 for the hybrid over all layers), risk, accuracy, n, ci_low, ci_high.
        stem: path without ending.
    """
    _require(accuracy, ("layer", "risk", "accuracy", "n", "ci_low", "ci_high"), "reward accuracy")
    risks = panel_risks(accuracy["risk"])
    figure, grid = new_panels(len(risks), 4, 1.6, 0.3, "Layer", sharex=True, sharey=True)
    layers = accuracy[accuracy["layer"] != HYBRID]
    for axes, risk in zip(grid, risks, strict=True):
        rows = accuracy[accuracy["risk"] == risk]
        _accuracy_panel(axes, rows, RISK_LOOKS.get(risk, RISK_LOOKS["all"]))
        axes.set_title(f"{risk.replace('_', '-')} ({count_note(rows['n'])})", loc="left", fontweight="normal")
    low, high = min(0.5, float(accuracy["ci_low"].min())), float(accuracy["ci_high"].max())
    shares(grid[0], "y", low, max(high, 0.6), most=7)
    _layer_ticks(grid[0], layers["layer"].unique())
    figure.supylabel("Pairs ranked right (share)", fontsize=8)
    handles = [grid[0].plot([], [], color=GREY, marker="o", label="probe of one layer")[0]]
    handles += [grid[0].axhline(-9, color=GREY, linestyle=(0, (5, 1.5)), label="hybrid reward")]
    handles += [grid[0].axhline(-9, color=GREY, linestyle=(0, (1, 1)), linewidth=0.8, label="chance")]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return write_figure(figure, stem, accuracy)


def panel_risks(found: Iterable[str]) -> list[str]:
    """Risk classes in the order of their panels; pairs without a label have none of their own where no pair has a label."""
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
    axes.plot(
        single["layer"],
        single["accuracy"],
        marker=look.marker,
        color=look.color,
        markersize=4 if len(single) < 20 else 2.5,
    )


def _layer_ticks(axes: Axes, layers: np.ndarray) -> None:
    """Every layer where they are few, else the first, the last and round ones between."""
    step = next(step for step in (1, 2, 4, 8, 16, 32) if len(layers) / step <= 9)
    first, last = int(layers.min()), int(layers.max())
    between = [layer for layer in range(step, last, step) if layer - first >= step / 2 and last - layer >= step / 2]
    axes.set_xticks(sorted({first, *between, last}))
    axes.set_xlim(first - 0.04 * (last - first + 1), last + 0.04 * (last - first + 1))


def layer_densities(
    components: pd.DataFrame, divergence: pd.DataFrame, stem: Path | str, *, panels: int = 6
) -> list[Path]:
    """Densities of safe and unsafe responses in the plane of two principal components, and their divergence per layer.

    Args:
        components: columns layer, label (``safe`` or ``unsafe``), pc1, pc2; one row per response and layer.
        divergence: columns layer, kl_safe_unsafe, kl_unsafe_safe: divergence of the densities both ways, nats.
        stem: path without ending; the numbers go to ``stem.csv`` (divergence) and ``stem_components.csv``.
        panels: layers whose densities are drawn, spread evenly; at most 6 fit.

    Returns:
        Paths of the PDF, the PNG and both CSVs.
    """
    _require(components, ("layer", "label", "pc1", "pc2"), "layer densities")
    unknown = set(components["label"]) - {"safe", "unsafe"}
    if unknown:
        raise not_accepted("layer densities, column 'label'", sorted(unknown)[0], ("safe", "unsafe"))
    _require(divergence, ("layer", *DIVERGENCES), "layer divergence")
    layers = np.array(sorted(components["layer"].unique()))
    shown = layers[np.unique(np.linspace(0, len(layers) - 1, min(panels, len(layers), 6)).round().astype(int))]
    mosaic = [[f"layer {layer}" for layer in shown], ["kl"] * len(shown)]
    figure, _ = new_figure(PAGE, 3.6)
    figure.clear()
    axes = figure.subplot_mosaic(mosaic, height_ratios=[1, 1.1])  # type: ignore[arg-type]
    for layer in shown:
        _density_panel(axes[f"layer {layer}"], components[components["layer"] == layer])
        axes[f"layer {layer}"].set_title(f"Layer {layer}", fontweight="normal")
    _divergence_panel(axes["kl"], divergence.sort_values("layer"))
    axes[f"layer {shown[0]}"].set_ylabel("Second component")
    axes[f"layer {shown[len(shown) // 2]}"].set_xlabel("First component" if len(shown) % 2 else "")
    handles = [
        axes["kl"].plot([], [], color=color, linewidth=3, alpha=0.7, label=name)[0]
        for color, name in ((_SAFE, "safe"), (_UNSAFE, "unsafe"))
    ]
    per_layer = components[components["layer"] == shown[0]].groupby("label").size()
    figure.legend(
        handles=handles,
        loc="outside upper right",
        ncols=2,
        title=f"Density of responses ({count_note(per_layer)} per class)",
        title_fontsize=7,
    )
    data_path = Path(f"{stem}_components.csv")
    paths = write_figure(figure, stem, divergence)
    components.to_csv(data_path, index=False, lineterminator="\n", float_format="%.6g")
    return [*paths, data_path]


def _density_panel(axes: Axes, rows: pd.DataFrame) -> None:
    """Contours that hold 25, 50 and 75% of each class's density; bare points where a class has no area."""
    spread = [(float(rows[name].min()), float(rows[name].max())) for name in ("pc1", "pc2")]
    margins = [0.15 * (high - low) or 1.0 for low, high in spread]
    lines = [np.linspace(low - margin, high + margin, 60) for (low, high), margin in zip(spread, margins, strict=True)]
    mesh = np.meshgrid(*lines)
    for name, color in (("safe", _SAFE), ("unsafe", _UNSAFE)):
        points = rows.loc[rows["label"] == name, ["pc1", "pc2"]].to_numpy(dtype=float).T
        axes.plot(*points, ".", color=color, alpha=0.25, markersize=1.6, markeredgewidth=0)
        if points.shape[1] > 2 and np.linalg.matrix_rank(np.cov(points)) == 2:
            density = gaussian_kde(points)(np.stack([grid.ravel() for grid in mesh])).reshape(mesh[0].shape)
            axes.contour(
                *mesh, density, levels=_holding(density, (0.75, 0.5, 0.25)), colors=color, linewidths=(0.6, 0.9, 1.2)
            )
    axes.set_xlim(lines[0][0], lines[0][-1])
    axes.set_ylim(lines[1][0], lines[1][-1])
    axes.set_xticks([])
    axes.set_yticks([])
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)


def _holding(density: np.ndarray, shares_held: tuple[float, ...]) -> list[float]:
    """Densities above which the given shares of the mass lie, increasing."""
    ordered = np.sort(density.ravel())[::-1]
    held = np.cumsum(ordered) / ordered.sum()
    levels = [float(ordered[np.searchsorted(held, share)]) for share in shares_held]
    return [level + 1e-12 * place * ordered[0] for place, level in enumerate(levels)]


def _divergence_panel(axes: Axes, rows: pd.DataFrame) -> None:
    size, drawn = 4 if len(rows) < 20 else 2.5, ("o-", "s--")
    for (column, name), style, color in zip(DIVERGENCES.items(), drawn, ("#009E73", "#CC79A7"), strict=True):
        axes.plot(rows["layer"], rows[column], style, color=color, markersize=size, label=name)
    values = rows[list(DIVERGENCES)].to_numpy(dtype=float)
    high = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
    low = min(0.0, float(np.nanmin(values))) if np.isfinite(values).any() else 0.0
    axes.set_ylim(low - (0.05 * (high - low) if low < 0 else 0), max(1.08 * high, 0.05))
    axes.set_xlabel("Layer")
    axes.set_ylabel("Divergence (nats)")
    _layer_ticks(axes, rows["layer"].to_numpy())
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.98), ncols=2, borderaxespad=0)


def _require(table: pd.DataFrame, columns: tuple[str, ...], where: str) -> None:
    missing = [column for column in columns if column not in table]
    if missing or table.empty:
        problem = f"column {missing[0]!r} is missing" if missing else "there are no rows"
        raise UserError(f"{where}: {problem}. Accepted columns: {', '.join(columns)}.")
