"""Verdict tables of a few rows written by hand, and one number of their metric rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

AXES = {"harm": {"axis": "safety"}, "alike": {"axis": "over_refusal"}, "ask": {"axis": "helpfulness"}}


def table(verdicts: list[tuple[str, str, str, object]], **columns: object) -> pd.DataFrame:
    """Verdict rows from (benchmark, risk, verdict, correct); every prompt is its own family."""
    frame = pd.DataFrame(verdicts, columns=["benchmark", "risk", "verdict", "correct"])
    frame["prompt_id"] = [f"p{row}" for row in range(len(frame))]
    defaults = {"experiment": "arm", "seed": 0, "step": 10, "judge": "oracle", "family": ""}
    frame = frame.assign(**(defaults | columns))
    frame["correct"] = frame["correct"].astype("boolean")
    return frame


def value(metrics: pd.DataFrame, metric: str, **where: object) -> float:
    """The value of the one row of a metric; of the first seed, the oracle and all classes unless told."""
    chosen = {"seed": 0, "judge": "oracle", "risk": "all"} | where
    rows = metrics[
        (metrics["metric"] == metric) & np.logical_and.reduce([metrics[key] == item for key, item in chosen.items()])
    ]
    assert len(rows) == 1, rows
    return float(rows["value"].iloc[0])
