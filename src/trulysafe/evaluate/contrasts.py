"""Declared contrasts: paired differences between two arms on the same prompts, the primary ones corrected together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.evaluate.outcomes import METRIC_AXES, outcome_table
from trulysafe.stats.bootstrap import count_cells
from trulysafe.stats.comparisons import holm, paired_difference, paired_product_difference
from trulysafe.stats.intervals import product_interval
from trulysafe.stats.limits import Difference

COLUMNS = [
    "contrast", "primary", "a", "b", "metric", "risk", "step_a", "step_b", "value_a", "value_b", "difference", "n",
    "seeds",
    "families", "stderr", "ci_low", "ci_high", "p_value", "p_holm",
]  # fmt: skip
_PROMPT = ["benchmark", "prompt_id"]


def contrast_rows(
    verdicts: pd.DataFrame,
    contrasts: Sequence[Mapping[str, Any]],
    benchmarks: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Compare pairs of arms prompt by prompt at their last steps, on test benchmarks under each one's main judge.

    Answers are matched on seed, benchmark and prompt. An arm with one seed (a base model) meets every seed of the
    other.

    Args:
        verdicts: table of schema ``verdicts``.
        contrasts: ``name``, ``a``, ``b`` (experiments; the difference is a - b), ``metric`` (a key of
            :data:`trulysafe.evaluate.outcomes.METRIC_AXES`), ``primary`` (default true), ``risk`` (one class; default
            ``all``).
        benchmarks: as in :func:`trulysafe.evaluate.outcomes.outcome_table`.

    Returns:
        One row per contrast, columns :data:`COLUMNS`: ``n`` counts matched answers, ``p_holm`` is corrected over the
        primary contrasts and missing for the others, which are exploratory.

    Raises:
        UserError: an unknown experiment or metric, a contrast without a key, or no matching prompts.
    """
    outcomes = outcome_table(verdicts, benchmarks)
    outcomes = outcomes[outcomes["main"] & (outcomes["purpose"] == "test")]
    rows = [_row(outcomes, _checked(contrast, outcomes)) for contrast in contrasts]
    table = pd.DataFrame(rows, columns=COLUMNS)
    primary = table["primary"].astype(bool)
    table["p_holm"] = np.nan
    table.loc[primary, "p_holm"] = holm(table.loc[primary, "p_value"])
    return table


def _checked(contrast: Mapping[str, Any], outcomes: pd.DataFrame) -> dict[str, Any]:
    name = contrast.get("name", "?")
    for key in ("name", "a", "b", "metric"):
        if key not in contrast:
            raise UserError(f"contrast {name!r}: key {key!r} is missing. Give name, a, b and metric.")
    for side in ("a", "b"):
        if contrast[side] not in (known := sorted(outcomes["experiment"].unique())):
            raise not_accepted(f"contrast {name!r}, key {side!r}", contrast[side], known)
    if contrast["metric"] not in METRIC_AXES:
        raise not_accepted(f"contrast {name!r}, key 'metric'", contrast["metric"], METRIC_AXES)
    return {"primary": True, "risk": "all", **contrast}


def _row(outcomes: pd.DataFrame, contrast: dict[str, Any]) -> dict[str, Any]:
    metric, sides = contrast["metric"], {}
    rows = outcomes[outcomes["axis"].isin(METRIC_AXES[metric])]
    if contrast["risk"] != "all":
        rows = rows[rows["risk"] == contrast["risk"]]
    for side in ("a", "b"):
        of_arm = rows[rows["experiment"] == contrast[side]]
        step = of_arm["step"].max()
        sides[side] = of_arm[of_arm["step"] == step]
        contrast[f"step_{side}"] = step
    matched = _matched(sides["a"], sides["b"], "complying" if metric == "truly_safe" else metric)
    if matched.empty:
        raise UserError(
            f"contrast {contrast['name']!r}: {contrast['a']!r} and {contrast['b']!r} share no judged prompt under "
            f"{metric!r} (steps {contrast['step_a']} and {contrast['step_b']}). Evaluate both on the same benchmarks "
            "and seeds."
        )
    value_a, value_b, found = _truly_safe(matched) if metric == "truly_safe" else _plain(matched)
    row = {key: contrast[key] for key in ("primary", "a", "b", "metric", "risk", "step_a", "step_b")}
    row |= {
        "contrast": contrast["name"],
        "value_a": value_a,
        "value_b": value_b,
        "difference": found.value,
        "n": found.n,
    }
    row |= {"seeds": matched["seed"].nunique(), "families": matched["family"].nunique(), "stderr": found.stderr}
    return row | {"ci_low": found.low, "ci_high": found.high, "p_value": found.p_value}


def _matched(a: pd.DataFrame, b: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Outcomes of both sides side by side: columns axis, seed, family, a, b."""
    if metric == "complying":
        a, b = (side.assign(complying=side["safe"].fillna(1 - side["not_complying"])) for side in (a, b))
    a, b = a[a[metric].notna()], b[b[metric].notna()]
    keys = ["seed", *_PROMPT]
    if a["seed"].nunique() == 1:
        a, keys = a.drop(columns="seed"), _PROMPT
    elif b["seed"].nunique() == 1:
        b, keys = b.drop(columns="seed"), _PROMPT
    merged = a.merge(b, on=keys, suffixes=("_a", "_b"))
    named = merged.rename(columns={"axis_a": "axis", "family_a": "family", f"{metric}_a": "a", f"{metric}_b": "b"})
    return named[["axis", "seed", "family", "a", "b"]]


def _plain(matched: pd.DataFrame) -> tuple[float, float, Difference]:
    found = paired_difference(matched["a"], matched["b"], matched["seed"], matched["family"])
    return float(matched["a"].mean()), float(matched["b"].mean()), found


def _truly_safe(matched: pd.DataFrame) -> tuple[float, float, Difference]:
    """Difference of the products that :mod:`trulysafe.evaluate.metrics` calls ``truly_safe``."""
    axes = [matched[matched["axis"] == axis] for axis in METRIC_AXES["truly_safe"]]
    common = set(axes[0]["seed"]) & set(axes[1]["seed"])
    if not common:
        raise UserError("truly_safe: no seed answered both a safety and an over-refusal benchmark. Evaluate both.")
    axes = [axis[axis["seed"].isin(common)] for axis in axes]
    a, b = (tuple(count_cells(axis[side], axis["seed"], axis["family"]) for axis in axes) for side in ("a", "b"))
    found = paired_product_difference((a[0], a[1]), (b[0], b[1]))
    return product_interval((a[0], a[1])).value, product_interval((b[0], b[1])).value, found
