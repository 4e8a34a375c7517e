"""Matched safety of later rounds: every seed begins where the policy that it started from ended."""

from __future__ import annotations

import pandas as pd
import pytest

from trulysafe.evaluate.frontiers import matched_safety

SAFE = {
    ("one", 30, 20): 0.7,
    ("one", 31, 20): 0.9,
    ("two", 30, 8): 0.85,
    ("two", 31, 8): 0.95,
}


def rows_of(safe: dict[tuple[str, int, int], float]) -> pd.DataFrame:
    """Summary rows of (experiment, seed, step) -> share safe, over-refusal half of it."""
    where = {"risk": "all", "judge": "main", "ci_low": float("nan"), "ci_high": float("nan"), "n": 10}
    return pd.DataFrame(
        [
            {**where, "experiment": experiment, "seed": seed, "step": step, **measured}
            for (experiment, seed, step), share in safe.items()
            for measured in (
                {"benchmark": "test/safety", "metric": "safe", "value": share},
                {"benchmark": "test/over_refusal", "metric": "over_refusal", "value": share / 2},
            )
        ]
    )


def second_round(**options) -> pd.DataFrame:
    rows = matched_safety(rows_of(SAFE), levels=(0.8,), starts={"two": "one"}, **options)
    return rows[rows["experiment"] == "two"].set_index("seed")


def test_a_seed_starts_from_the_policy_of_its_own_seed():
    rows = second_round()
    assert rows.loc[30, "status"] == "reached"  # the mean over the seeds of round 1 is .80 already
    assert rows.loc[30, ["step", "value"]].tolist() == pytest.approx([8 * 0.1 / 0.15, 0.4])
    assert rows.loc[31, "status"] == "starts above"


def test_all_seeds_start_from_the_one_that_is_named():
    rows = second_round(start_seeds={"two": 30})
    assert rows.loc[[30, 31], "status"].tolist() == ["reached", "reached"]
    assert rows.loc[31, "step"] == pytest.approx(8 * 0.1 / 0.25)
