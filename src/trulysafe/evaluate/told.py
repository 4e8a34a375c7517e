"""What answers tell of how they were made: passages before the request, and what the policy thought of it."""

import json
from typing import Any

import pandas as pd

FACTS = "inference"
"""Key of an answer's ``meta`` that says how it was made (:func:`trulysafe.evaluate.reflection.reflected_answers`)."""
RISKS = ("low", "medium", "high")
"""What a reflection may say."""
COUNTS = ("answers", *RISKS, "unread", "without_passages", "with_cut_passages", "leaked")
"""What :func:`reflection_rows` counts."""


def told(meta: str) -> dict[str, Any]:
    """What an answer's ``meta``, a JSON object, tells; empty where nothing was looked up or thought."""
    return dict(json.loads(meta or "{}").get(FACTS) or {})


def without_passages(fact: dict[str, Any]) -> bool:
    """Whether no passage stood before the request: none was found, or there was no room for a token of any."""
    return not fact["passages"] or fact["cut_to"] == 0


def reflection_rows(answers: pd.DataFrame) -> pd.DataFrame:
    """Counts over the answers of arms that look passages up or reflect, others left out.

    Args:
        answers: columns experiment, benchmark, risk (of the prompt) and meta.

    Returns:
        One row per experiment, benchmark and risk, and the columns of :data:`COUNTS`: answers, those whose reflection
        said ``low``, ``medium`` or ``high``, reflections that were ``unread`` (cut off, of another form, or without
        room), answers without passages and with cut ones, and passages that leaked.
    """
    rows = []
    for experiment, benchmark, risk, meta in answers[["experiment", "benchmark", "risk", "meta"]].itertuples(
        index=False
    ):
        if not (fact := told(meta)):
            continue
        found = {"answers": 1, **{name: int(fact.get("risk") == name) for name in RISKS}}
        found |= {"unread": int(bool(fact.get("problem"))), "without_passages": int(without_passages(fact))}
        found |= {"with_cut_passages": int(fact["cut_to"] is not None), "leaked": fact["leaked"]}
        rows.append({"experiment": experiment, "benchmark": benchmark, "risk": risk, **found})
    columns = ["experiment", "benchmark", "risk"]
    return pd.DataFrame(rows, columns=[*columns, *COUNTS]).groupby(columns, as_index=False, sort=True).sum()
