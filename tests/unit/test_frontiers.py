"""Matched safety and operating points on paths written by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from trulysafe.evaluate.frontiers import matched_safety
from trulysafe.evaluate.metrics import POOLED


def path_rows(points: dict[tuple[str, int, int], tuple[float, float]]) -> pd.DataFrame:
    """Summary rows of (experiment, seed, step) -> (safe, over_refusal)."""
    rows, spread = [], {"ci_low": float("nan"), "ci_high": float("nan"), "n": 10}
    for (experiment, seed, step), pair in points.items():
        for axis, metric, number in (("safety", "safe", pair[0]), ("over_refusal", "over_refusal", pair[1])):
            where = {"experiment": experiment, "seed": seed, "step": step, "benchmark": f"test/{axis}"}
            rows.append({**where, "risk": "all", "judge": "main", "metric": metric, "value": number, **spread})
    return pd.DataFrame(rows)


def test_matched_safety_interpolates_where_safety_first_passes() -> None:
    points = {
        ("base", 0, 0): (0.2, 0.0),
        ("arm", 0, 10): (0.6, 0.1),
        ("arm", 0, 20): (1.0, 0.5),
        ("arm", 1, 10): (0.5, 0.2),
    }
    points |= {("arm", 1, 20): (0.7, 0.3), ("arm", 1, 30): (0.6, 0.1)}
    rows = matched_safety(path_rows(points), levels=(0.1, 0.4, 0.8), starts={"arm": "base"}).set_index(
        ["level", "seed"]
    )
    assert rows.loc[(0.4, 0), ["value", "step"]].tolist() == pytest.approx([0.05, 5])
    assert rows.loc[(0.4, 1), "value"] == pytest.approx(0.2 * 2 / 3)
    assert rows.loc[(0.8, 0), "value"] == pytest.approx(0.3)
    assert rows.loc[(0.8, 1), "status"] == "never reached"
    assert rows.loc[(0.1, 0), "status"] == "starts above"
    pooled = rows.xs(POOLED, level="seed")
    assert pooled["reached"].tolist() == [0, 2, 1]
    assert pooled["status"].tolist() == ["starts above", "reached", "reached"]
    assert pooled.loc[0.4, "value"] == pytest.approx((0.05 + 0.4 / 3) / 2)
    assert pooled["value"].isna().tolist() == [True, False, False]
    assert pooled["ci_low"].isna().tolist() == [True, False, True]


def test_seeds_that_agree_have_no_limits_at_matched_safety() -> None:
    points = {("arm", seed, step): (step / 20, 0.0) for seed in (0, 1) for step in (5, 20)}
    rows = matched_safety(path_rows(points), levels=(0.8,))
    pooled = rows[rows["seed"] == POOLED].iloc[0]
    assert pooled[["value", "reached"]].tolist() == [0.0, 2]
    assert pooled[["ci_low", "ci_high"]].isna().all()  # not those of two single answers


def test_a_later_round_starts_where_the_round_before_it_ended() -> None:
    points = {
        ("base", 0, 0): (0.2, 0.0),
        ("one", 0, 10): (0.4, 0.3),
        ("one", 0, 20): (0.6, 0.1),
        ("two", 0, 10): (0.8, 0.3),
    }
    rows = matched_safety(path_rows(points), levels=(0.5, 0.7), starts={"one": "base", "two": "one"})
    found = rows[rows["seed"] == 0].set_index(["experiment", "level"])
    assert found.loc[("one", 0.5), ["value", "step"]].tolist() == pytest.approx([0.2, 15])
    assert found.loc[("two", 0.5), "status"] == "starts above"
    assert found.loc[("two", 0.7), ["value", "step"]].tolist() == pytest.approx([0.2, 5])
    assert set(rows["experiment"]) == {"one", "two"}


@pytest.mark.parametrize("metric", ["safe", "over_refusal"])
def test_there_is_no_matched_safety_without_both_axes(metric: str) -> None:
    rows = path_rows({("arm", 0, 10): (0.6, 0.1)})
    without = matched_safety(rows[rows["metric"] == metric], levels=(0.5,))
    assert list(matched_safety(rows, levels=(0.5,)).columns) == list(without.columns)
    assert without.empty
