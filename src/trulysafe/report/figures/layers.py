"""Densities of safe and unsafe responses in the layers that a reward reads, and their divergence per layer."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import gaussian_kde

from trulysafe.common.errors import not_accepted
from trulysafe.report.run import Run
from trulysafe.report.style import PAGE, Drawing, count_note, layer_ticks, new_figure, require

DIVERGENCES = {"kl_safe_unsafe": "KL(safe || unsafe)", "kl_unsafe_safe": "KL(unsafe || safe)"}
"""Divergence columns and their names."""
CAPTION = (
    "Above: safe and unsafe responses of some layers in their first two principal components; contours hold a quarter, "
    "half and three quarters of each density. Below: divergence of the two densities in every layer, both ways."
)
COLORS = {"safe": "#0072B2", "unsafe": "#D55E00"}


def figure(run: Run) -> dict[str, Drawing]:
    """One figure per reward."""
    components = run.layer_components.items()
    return {reward: layer_densities(points, run.layer_divergence[reward]) for reward, points in components}


def layer_densities(components: pd.DataFrame, divergence: pd.DataFrame, panels: int = 6) -> Drawing:
    """Densities in two principal components for ``panels`` layers (at most 6), and the divergence of all layers."""
    require(components, ("layer", "label", "pc1", "pc2"), "layer densities")
    if unknown := set(components["label"]) - set(COLORS):
        raise not_accepted("layer densities, column 'label'", sorted(unknown)[0], COLORS)
    require(divergence, ("layer", *DIVERGENCES), "layer divergence")
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
    bars: dict[str, Any] = {"linewidth": 3, "alpha": 0.7}
    handles = [axes["kl"].plot([], [], color=color, label=name, **bars)[0] for name, color in COLORS.items()]
    per_layer = components[components["layer"] == shown[0]].groupby("label").size()
    title = f"Density of responses ({count_note(per_layer)} per class)"
    figure.legend(handles=handles, loc="outside upper right", ncols=2, title=title, title_fontsize=7)
    return Drawing(figure, divergence, {"components": components})


def _density_panel(axes: Axes, rows: pd.DataFrame) -> None:
    """Contours that hold 25, 50 and 75% of each class's density; bare points where a class has no area."""
    spread = [(float(rows[name].min()), float(rows[name].max())) for name in ("pc1", "pc2")]
    margins = [0.15 * (high - low) or 1.0 for low, high in spread]
    lines = [np.linspace(low - margin, high + margin, 60) for (low, high), margin in zip(spread, margins, strict=True)]
    mesh = np.meshgrid(*lines)
    for name, color in COLORS.items():
        points = rows.loc[rows["label"] == name, ["pc1", "pc2"]].to_numpy(dtype=float).T
        axes.plot(*points, ".", color=color, alpha=0.25, markersize=1.6, markeredgewidth=0)
        if points.shape[1] > 2 and np.linalg.matrix_rank(np.cov(points)) == 2:
            density = gaussian_kde(points)(np.stack([grid.ravel() for grid in mesh])).reshape(mesh[0].shape)
            levels = _holding(density, (0.75, 0.5, 0.25))
            axes.contour(*mesh, density, levels=levels, colors=color, linewidths=(0.6, 0.9, 1.2))
    axes.set(xlim=lines[0][[0, -1]], ylim=lines[1][[0, -1]], xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)


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
    values = values[np.isfinite(values)]
    high, low = (float(values.max()), min(0.0, float(values.min()))) if len(values) else (1.0, 0.0)
    axes.set_ylim(low - (0.05 * (high - low) if low < 0 else 0), max(1.08 * high, 0.05))
    axes.set_xlabel("Layer")
    axes.set_ylabel("Divergence (nats)")
    layer_ticks(axes, rows["layer"].to_numpy())
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.98), ncols=2, borderaxespad=0)
