"""Filling the empty classes of a table, for every kind that gives classes of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

Classes = Callable[[list[str], np.ndarray], Sequence[str] | np.ndarray]
"""Prompts, and whether each is known to be harmful (bool, shape [prompts]), to the class of each."""


def filled(frame: pd.DataFrame, kind: str, classes: Classes) -> pd.DataFrame:
    """A copy of the table whose empty ``risk`` are filled; their ``meta.risk_from`` is the kind."""
    facts = [json.loads(meta) for meta in frame["meta"]]
    empty = (frame["risk"] == "").to_numpy()
    harmful = np.array([fact.get("harmful") is True for fact in facts], dtype=bool)
    labelled = frame.copy()
    labelled.loc[empty, "risk"] = classes(frame.loc[empty, "prompt"].tolist(), harmful[empty])
    marked = [fact | ({"risk_from": kind} if new else {}) for fact, new in zip(facts, empty, strict=True)]
    labelled["meta"] = [json.dumps(fact, sort_keys=True, ensure_ascii=False) for fact in marked]
    return labelled
