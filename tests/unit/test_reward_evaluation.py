"""Scores of rewards: accuracies of pairs, calibration error, and both per class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.reward_states import pairs
from trulysafe.common.schema import UNLABELLED
from trulysafe.reward.evaluate import brier, calibration_error, evaluate_reward, pair_accuracy
from trulysafe.reward.fit import fit_hybrid_reward


def test_scores_of_pairs() -> None:
    scores = pair_accuracy(np.array([1.0, 2.0, -1.0, 0.5]), np.array([-1.0, 1.0, -2.0, 0.5]))
    assert scores == {"soft": 3.5 / 4, "hard": 5 / 8, "true": 1 / 4}


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=1, max_size=20))
def test_true_accuracy_is_the_strictest(rows: list[tuple[float, float]]) -> None:
    scores = pair_accuracy(*np.array(rows).T)
    assert scores["true"] <= min(scores["soft"], scores["hard"])
    assert 2 * scores["hard"] - 1 <= scores["true"] + 1e-12


def test_calibration_error_of_known_cases() -> None:
    logits = np.log(np.array([0.8, 0.2]) / np.array([0.2, 0.8])).repeat(100)
    honest = np.concatenate([np.repeat([1, 0], [80, 20]), np.repeat([1, 0], [20, 80])])
    assert calibration_error(logits, honest) == pytest.approx(0)
    assert calibration_error(logits, 1 - honest) == pytest.approx(0.6)
    assert calibration_error(np.array([1e9, -1e9]), np.array([1, 0])) == pytest.approx(0)


def test_brier_score_knows_a_calibrated_reward_and_the_calibration_error_does_not() -> None:
    assert brier([0.0, 1e9, -1e9], [0.0, -1e9, 1e9]).tolist() == [0.25, 0.0, 1.0]
    draw, found = np.random.default_rng(0), []
    for _ in range(200):
        logits = draw.normal(size=(56, 2))
        safe = draw.random(logits.shape) < 1 / (1 + np.exp(-logits))
        expected = (1 / (2 + 2 * np.cosh(logits))).mean()  # the variance of the labels, which no reward can go below
        score = np.where(safe, brier(logits, -1e9), brier(1e9, logits)).mean() * 2
        found.append((score - expected, calibration_error(logits.ravel(), safe.ravel().astype(int))))
    bias, error = np.mean(found, axis=0)
    assert abs(bias) < 0.004
    assert error > 0.07


def test_evaluation_per_class() -> None:
    model = fit_hybrid_reward(*pairs())
    safe, unsafe = pairs(30, seed=2)
    safe[:10], unsafe[:10] = unsafe[:10].clone(), safe[:10].clone()
    result = evaluate_reward(model, safe, unsafe, ["EHD"] * 10 + ["IHD"] * 20)
    assert list(result) == ["all", "EHD", "IHD"]
    assert [result[name]["n"] for name in result] == [30, 10, 20]
    assert result["EHD"]["soft"] < 0.1
    assert result["EHD"]["auc"] < 0.1
    assert result["IHD"]["soft"] > 0.9
    unnamed = evaluate_reward(model, safe, unsafe, ["EHD"] * 10 + ["", None, np.nan, UNLABELLED] * 5)
    assert {name: scores["n"] for name, scores in unnamed.items()} == {"all": 30, "EHD": 10, UNLABELLED: 20}
    assert result["all"]["soft"] == pytest.approx((10 * result["EHD"]["soft"] + 20 * result["IHD"]["soft"]) / 30)
