"""Safety and over-refusal per category of harm, as each benchmark's authors divide their prompts."""

import json
from typing import Any

import pandas as pd

from trulysafe.data.descent import DESCENT
from trulysafe.evaluate.outcomes import MAIN_METRIC, Benchmarks, outcome_table
from trulysafe.stats.intervals import interval

COLUMNS = "benchmark category experiment step metric value stderr ci_low ci_high n seeds".split()
AXES = ("safety", "over_refusal")


def category_rows(verdicts: pd.DataFrame, answers: pd.DataFrame, benchmarks: Benchmarks) -> pd.DataFrame:
    """What each experiment does at its last step in every category of every test benchmark, by the main judge.

    A prompt's category is ``meta.category`` of its answers, or else the family that its data set names; prompts with
    neither, which are families of their own or of a prompt that they descend from, are left out. ``answers`` is a table
    of schema ``answers``, the other arguments are those of :func:`trulysafe.evaluate.outcomes.outcome_table`. Returns
    columns :data:`COLUMNS`; seeds are pooled, and the 95% intervals resample seeds and prompts together.
    """
    outcomes = outcome_table(verdicts, benchmarks)
    outcomes = outcomes[outcomes["main"] & (outcomes["purpose"] == "test") & outcomes["axis"].isin(AXES)]
    outcomes = outcomes[outcomes["step"] == outcomes.groupby("experiment")["step"].transform("max")]
    outcomes = outcomes.merge(_categories(answers), on=["benchmark", "prompt_id"])
    rows = []
    for names, found in outcomes.groupby(["benchmark", "category", "experiment"], sort=True):
        metric = MAIN_METRIC[found["axis"].iloc[0]]
        rows.append(dict(zip(COLUMNS, names, strict=False)) | _measured(found, metric))
    return pd.DataFrame(rows, columns=COLUMNS)


def _categories(answers: pd.DataFrame) -> pd.DataFrame:
    """Columns benchmark, prompt_id and category, for prompts that have one."""
    prompts = answers.drop_duplicates(["benchmark", "prompt_id"])[["benchmark", "prompt_id", "meta", "family"]]
    known, metas = [], map(json.loads, prompts["meta"])
    for family, own, meta in zip(prompts["family"], prompts["prompt_id"], metas, strict=True):
        named = family not in (own, *meta.get(DESCENT, ()))
        known.append(_as_text(meta.get("category")) or (family if named else ""))
    found = prompts[["benchmark", "prompt_id"]].assign(category=known)
    return found[found["category"] != ""]


def _as_text(category: Any) -> str:
    """A category as one text, also where a data set of one's own gives a number or a list."""
    if isinstance(category, list):
        return ", ".join(map(_as_text, category))
    return "" if category is None else category if isinstance(category, str) else json.dumps(category)


def _measured(rows: pd.DataFrame, metric: str) -> dict[str, Any]:
    share = interval(rows[metric], rows["seed"], rows["prompt_id"])
    limits = {"stderr": share.stderr, "ci_low": share.low, "ci_high": share.high, "n": share.n}
    about = {"step": int(rows["step"].iloc[0]), "metric": metric, "seeds": rows["seed"].nunique()}
    return about | {"value": share.value} | limits
