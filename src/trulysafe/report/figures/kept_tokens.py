"""What a mask keeps of a few harmless responses, token by token."""

import textwrap
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from trulysafe.report.run import Run
from trulysafe.report.style import ARM_COLORS, GREY, PAGE, Drawing, new_figure
from trulysafe.report.tables.kept_tokens import SIDES, visible

KEPT = dict(zip(SIDES, ARM_COLORS, strict=False))
"""Colour of the kept tokens of either side."""
DROPPED, BAND = "#BBBBBB", "#E4E4E4"
CAPTION = (
    "Token rewards of a few harmless pairs (bars) and the state of the hysteresis rule (line). Kept tokens are "
    "coloured, dropped ones grey. A response of which the rule keeps less than the minimum share is kept whole. With "
    "the scope 'safety' such pairs are trained whole: they only show what the rule does."
)


def figure(run: Run) -> Drawing | None:
    """One panel per response: token rewards as bars, kept ones in colour; state of the hysteresis rule as a line."""
    table = run.kept_tokens
    if table.empty:
        return None
    examples = list(dict.fromkeys(table["example"]))
    figure, grid = new_figure(PAGE, 0.4 + 1.7 * len(examples), len(examples), 2, sharey=True)
    low, high = float(table["reward"].min()), float(table["reward"].max())
    for row, example in enumerate(examples):
        of_example = table[table["example"] == example]
        for axes, side in zip(grid[row], KEPT, strict=True):
            _panel(axes, of_example[of_example["side"] == side], KEPT[side])
            at: dict[str, Any] = {"ha": "right", "fontsize": 7, "color": KEPT[side]}
            axes.annotate(side, (1, 1), (-2, -7), "axes fraction", "offset points", **at)
        prompt = textwrap.shorten(str(of_example["prompt"].iloc[0]), 62, placeholder="…")
        title = grid[row, 0].set_title(f"{example}. {prompt}", loc="left", fontsize=7, fontweight="normal")
        title.set_in_layout(False)  # it may reach over the edge of its panel; the next line keeps its height free
        grid[row, 1].set_title(" ", fontsize=7)
        grid[row, 0].set_ylabel("Token reward")
    handles: list[Artist] = [Patch(color=color, label=f"kept, {side}") for side, color in KEPT.items()]
    handles += [Patch(color=DROPPED, label="dropped"), Line2D([], [], color="#000000", linewidth=0.8, label="state")]
    handles.append(Patch(color=BAND, label="dead band"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    grid[0, 0].set_ylim(min(low, -1.2) * 1.08, max(high, 1.2) * 1.08)
    return Drawing(figure, table)


def _panel(axes: Axes, rows: pd.DataFrame, color: str) -> None:
    places = rows["place"].to_numpy()
    axes.axhspan(float(rows["band_low"].iloc[0]), float(rows["band_high"].iloc[0]), color=BAND, zorder=0)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.bar(places, rows["reward"], width=0.75, color=[color if kept else DROPPED for kept in rows["kept"]])
    axes.step(places, rows["state"], where="mid", color="#000000", linewidth=0.8)
    axes.set_xticks(places, [visible(token) for token in rows["token"]], rotation=90, fontsize=5.5)
    for label, kept in zip(axes.get_xticklabels(), rows["kept"], strict=True):
        label.set_color(color if kept else "#999999")
    axes.tick_params(axis="x", length=0, pad=1)
    axes.grid(visible=False, axis="x")
    axes.set_xlim(0.2, len(places) + 0.8)
