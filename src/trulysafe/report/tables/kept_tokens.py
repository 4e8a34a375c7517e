"""A page that shows like text what a mask keeps of a few harmless responses."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import pandas as pd

from trulysafe.report.run import Run
from trulysafe.report.table import Page

SIDES = ("chosen", "rejected")
CAPTION = (
    "Harmless pairs. Kept tokens are coloured (chosen: those that speak for the response, rejected: those that speak "
    "against it), dropped tokens are grey and struck through. Below each token: its reward, centred and scaled, and "
    "the state of the hysteresis rule. A response of which the rule keeps less than minimum_share is kept whole, and "
    "the end-of-turn token follows the option eos. With reward_scope: safety such pairs are trained whole; they only "
    "show what the rule does."
)
_STYLE = (
    "body{font:15px/1.4 system-ui,sans-serif;color:#222;background:#fff;margin:1.5em;max-width:70em}"
    "h2{font-size:1em;margin:1.6em 0 .3em}p{max-width:60em}.r{margin:.3em 0;display:flex}"
    ".r b{flex:0 0 5em;font-weight:600}.t{display:inline-block;text-align:center;margin:0 1px .4em;"
    "padding:0 .25em;border-radius:3px;border:1px solid transparent}"
    ".t small{display:block;font-size:10px;color:#555;font-variant-numeric:tabular-nums}"
    ".chosen.k{background:#cfe6f5;border-color:#0072B2}.rejected.k{background:#fadfcb;border-color:#D55E00}"
    ".d i{color:#777;text-decoration:line-through}i{font-style:normal}"
)


def table(run: Run) -> Page | None:
    """Each response as text, kept and dropped tokens told apart by colour and by line; the page needs nothing else."""
    if run.kept_tokens.empty:
        return None
    body = "\n".join(_sections(run.kept_tokens))
    return Page(
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Kept tokens</title>\n'
        f"<style>{_STYLE}</style>\n<h1>Kept tokens</h1>\n<p>{escape(CAPTION)}</p>\n{body}\n</html>\n"
    )


def _sections(rows: pd.DataFrame) -> Iterator[str]:
    for (example, prompt), of_example in rows.groupby(["example", "prompt"], sort=False):
        yield f"<h2>{example}. {escape(str(prompt))}</h2>"
        for side in SIDES:
            of_side = of_example[of_example["side"] == side]
            share = of_side["kept"].mean()
            tokens = "".join(_token(row) for row in of_side.to_dict("records"))
            yield f'<div class="r"><b title="{share:.0%} of the tokens kept">{side}</b><div>{tokens}</div></div>'


def _token(row: Mapping[Any, Any]) -> str:
    state = "+1" if row["state"] > 0 else "-1"
    what = "kept" if row["kept"] else "dropped"
    title = f"{what}; reward {row['reward']:+.3f}, state {state}"
    return (
        f'<span class="t {row["side"]} {what[0]}" title="{title}"><i>{escape(visible(row["token"]))}</i>'
        f"<small>{row['reward']:+.2f}</small><small>{state}</small></span>"
    )


def visible(token: object) -> str:
    """A token's text without the white space around it; a token of nothing else is shown as a mark."""
    return str(token).strip() or "␣"
