"""The table of how alike an arm's answers are (:mod:`trulysafe.evaluate.diversity`)."""

from __future__ import annotations

import pandas as pd

from trulysafe.evaluate.diversity import METRICS, TEXT
from trulysafe.evaluate.metrics import POOLED
from trulysafe.report.arms import Arms, label_of
from trulysafe.report.tables import at_last_step, intervals

_AXES = {"safety": "harmful", "over_refusal": "look-alikes", "helpfulness": "questions"}
_NAMES = {
    "distinct_1": "Distinct-1",
    "distinct_2": "Distinct-2",
    "distinct_3": "Distinct-3",
    "self_bleu": "Self-BLEU",
    "self_bleu_same_prompt": "Self-BLEU, same prompt",
}


def diversity_tables(metrics: pd.DataFrame, arms: Arms) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """The table ``diversity`` as (text, numbers), or nothing where it was not measured.

    Args:
        metrics: table of schema ``metrics``; rows of judge ``text`` are read.
        arms: experiments to show, in order.

    Returns:
        The text has one line per arm and axis; the numbers have every risk class.
    """
    rows = metrics[(metrics["judge"] == TEXT) & (metrics["seed"] == POOLED) & metrics["experiment"].isin(list(arms))]
    if rows.empty:
        return {}
    rows = at_last_step(rows)
    rows = rows.assign(
        arm=rows["experiment"].map(lambda name: label_of(arms, name)),
        order=rows["experiment"].map({name: number for number, name in enumerate(arms)}),
        axis=rows["benchmark"].str.removeprefix("test/"),
    ).sort_values(["axis", "order", "risk", "metric"], kind="stable")
    shown = rows[(rows["risk"] == "all") & rows["axis"].isin(list(_AXES))]
    shown = shown.assign(text=intervals(shown, "value"))
    lines = []
    for axis, name in _AXES.items():
        for _, of_arm in shown[shown["axis"] == axis].groupby("order", sort=True):
            cells = of_arm.set_index("metric")["text"]
            head = {"Prompts": name, "Arm": of_arm["arm"].iloc[0], "n": int(of_arm["n"].max())}
            lines.append({**head, **{_NAMES[metric]: cells[metric] for metric in METRICS if metric in cells}})
    tidy = rows[["experiment", "arm", "benchmark", "risk", "metric", "value", "ci_low", "ci_high", "n"]]
    return {"diversity": (pd.DataFrame(lines).fillna(""), tidy.reset_index(drop=True))}
