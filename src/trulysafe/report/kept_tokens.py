"""What a mask keeps of a few harmless responses: a figure, and a page that can be read like text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from trulysafe.report.style import GREY, OKABE_ITO, PAGE, new_figure, write_figure

KEPT = {"chosen": OKABE_ITO[0], "rejected": OKABE_ITO[1]}
"""Colour of the kept tokens of either side."""
DROPPED, BAND = "#BBBBBB", "#E4E4E4"
NOTE = (
    "Harmless pairs. Kept tokens are coloured (chosen: those that speak for the response, rejected: those that speak against "
    "it), dropped tokens are grey and struck through. Below each token: its reward, centred and scaled, and the state of the hysteresis rule. A response "
    "of which the rule keeps less than minimum_share is kept whole, and the end-of-turn token follows the option eos. With "
    "reward_scope: safety such pairs are trained whole; they only show what the rule does."
)
_STYLE = (
    "body{font:15px/1.4 system-ui,sans-serif;color:#222;background:#fff;margin:1.5em;max-width:70em}h2{font-size:1em;margin:1.6em 0 .3em}"
    "p{max-width:60em}.r{margin:.3em 0;display:flex}.r b{flex:0 0 5em;font-weight:600}.t{display:inline-block;"
    "text-align:center;margin:0 1px .4em;padding:0 .25em;border-radius:3px;border:1px solid transparent}.t small{display:block;"
    "font-size:10px;color:#555;font-variant-numeric:tabular-nums}.chosen.k{background:#cfe6f5;border-color:#0072B2}"
    ".rejected.k{background:#fadfcb;border-color:#D55E00}.d i{color:#777;text-decoration:line-through}i{font-style:normal}"
)


def kept_tokens_figure(table: pd.DataFrame, stem: Path | str) -> list[Path]:
    """Token rewards as bars, one panel per response, kept tokens in colour; the state of the hysteresis rule as a line.

    Args:
        table: from :func:`trulysafe.report.kept_token_rows.kept_tokens`.
        stem: path without ending.
    """
    examples = list(dict.fromkeys(table["example"]))
    figure, grid = new_figure(PAGE, 0.4 + 1.7 * len(examples), len(examples), 2, sharey=True)
    low, high = float(table["reward"].min()), float(table["reward"].max())
    for row, example in enumerate(examples):
        of_example = table[table["example"] == example]
        for axes, side in zip(grid[row], KEPT, strict=True):
            _panel(axes, of_example[of_example["side"] == side], KEPT[side])
            axes.annotate(
                side, (1, 1), (-2, -7), "axes fraction", "offset points", ha="right", fontsize=7, color=KEPT[side]
            )
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
    return write_figure(figure, stem, table)


def _panel(axes: Axes, rows: pd.DataFrame, color: str) -> None:
    places = rows["place"].to_numpy()
    axes.axhspan(float(rows["band_low"].iloc[0]), float(rows["band_high"].iloc[0]), color=BAND, zorder=0)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.bar(places, rows["reward"], width=0.75, color=[color if kept else DROPPED for kept in rows["kept"]])
    axes.step(places, rows["state"], where="mid", color="#000000", linewidth=0.8)
    axes.set_xticks(places, [_shown(token) for token in rows["token"]], rotation=90, fontsize=5.5)
    for label, kept in zip(axes.get_xticklabels(), rows["kept"], strict=True):
        label.set_color(color if kept else "#999999")
    axes.tick_params(axis="x", length=0, pad=1)
    axes.grid(visible=False, axis="x")
    axes.set_xlim(0.2, len(places) + 0.8)


def write_page(table: pd.DataFrame, path: Path | str) -> Path:
    """Write a page that needs nothing else: each response as text, kept and dropped tokens told apart by colour and by line.

    Args:
        table: from :func:`trulysafe.report.kept_token_rows.kept_tokens`.
        path: where it goes.
    """
    body = "\n".join(_sections(table))
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Kept tokens</title>\n<style>{_STYLE}</style>\n'
        f"<h1>Kept tokens</h1>\n<p>{escape(NOTE)}</p>\n{body}\n</html>\n"
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(page, encoding="utf-8", newline="\n")
    return Path(path)


def _sections(table: pd.DataFrame) -> Iterator[str]:
    for (example, prompt), of_example in table.groupby(["example", "prompt"], sort=False):
        yield f"<h2>{example}. {escape(str(prompt))}</h2>"
        for side in KEPT:
            rows = of_example[of_example["side"] == side]
            share = rows["kept"].mean()
            tokens = "".join(_token(row) for row in rows.to_dict("records"))
            yield f'<div class="r"><b title="{share:.0%} of the tokens kept">{side}</b><div>{tokens}</div></div>'


def _token(row: Mapping[Any, Any]) -> str:
    state = "+1" if row["state"] > 0 else "-1"
    what = "kept" if row["kept"] else "dropped"
    return (
        f'<span class="t {row["side"]} {what[0]}" title="{what}; reward {row["reward"]:+.3f}, state {state}"><i>{escape(_shown(row["token"]))}</i>'
        f"<small>{row['reward']:+.2f}</small><small>{state}</small></span>"
    )


def _shown(token: object) -> str:
    """A token's text without the white space around it; a token of nothing else is shown as a mark."""
    return str(token).strip() or "␣"
