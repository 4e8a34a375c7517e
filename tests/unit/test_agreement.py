"""Agreement of labellers: by hand, and its interval against statsmodels' and against copies of the same prompts."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix, f1_score
from statsmodels.stats.inter_rater import cohens_kappa

from trulysafe.label.agreement import agreement_interval, agreement_rows, kappas, macro_f1s, paired_statistic


def labels(n=300, right=0.7, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.choice(["EHD", "IHD", "MHD"], n, p=[0.2, 0.6, 0.2])
    other = rng.choice(["EHD", "IHD", "MHD"], n)
    return first.tolist(), np.where(rng.random(n) < right, first, other).tolist()


def test_kappa_by_hand_and_its_interval_against_the_asymptotic_one():
    found = agreement_interval(["a", "a", "b", "b"], ["a", "b", "b", "b"], ["1", "2", "3", "4"])
    assert found["kappa"] == pytest.approx(0.5)
    first, second = labels()
    found = agreement_interval(first, second, [""] * len(first))
    other = cohens_kappa(pd.crosstab(pd.Series(first), pd.Series(second)).to_numpy())
    assert found["kappa"] == pytest.approx(other.kappa)
    assert found["kappa_low"] == pytest.approx(other.kappa_low, abs=0.015)
    assert found["kappa_high"] == pytest.approx(other.kappa_upp, abs=0.015)


def test_copies_of_a_prompt_make_the_interval_no_narrower():
    first, second = labels(80)
    families = [str(number) for number in range(80)]
    once = agreement_interval(first, second, families)
    four = agreement_interval(first * 4, second * 4, families * 4)
    assert four["n"] == 320
    assert four["kappa"] == pytest.approx(once["kappa"])
    assert four["kappa_high"] - four["kappa_low"] == pytest.approx(once["kappa_high"] - once["kappa_low"], rel=1e-6)


def test_macro_f1_by_hand():
    true, predicted = ["a", "a", "b"], ["a", "c", "b"]
    # a: precision 1, recall 1/2; b: 1 and 1; c does not occur among the true classes
    found = paired_statistic(true, predicted, ["1", "2", "3"], macro_f1s)
    assert found.value == pytest.approx((2 / 3 + 1) / 2)
    assert found.n == 3
    assert 0 <= found.low < found.value < found.high <= 1


def test_statistics_of_draws_are_scikit_learns():
    rng = np.random.default_rng(1)
    names, draws = ["a", "b", "c", "d"], 40
    first, second = rng.choice(names, 60), rng.choice(names, 60)
    weights = rng.integers(0, 4, (draws, 60)) * (rng.random((draws, 60)) < 0.3)
    confusion = np.stack([confusion_matrix(first, second, labels=names, sample_weight=row) for row in weights])
    for index, row in enumerate(weights):
        kept = row > 0
        expected = cohen_kappa_score(first[kept], second[kept], sample_weight=row[kept])
        assert kappas(confusion.astype(float))[index] == pytest.approx(expected)
        classes = sorted(set(first[kept]))
        expected = f1_score(first, second, labels=classes, average="macro", sample_weight=row, zero_division=0.0)
        assert macro_f1s(confusion.astype(float))[index] == pytest.approx(expected)
    assert math.isnan(kappas(np.array([[[5.0, 0.0], [0.0, 0.0]]]))[0])


def test_where_nothing_can_be_said_nothing_is_said():
    assert agreement_interval([], [], [])["n"] == 0
    same = agreement_interval(["a", "a"], ["a", "a"], ["", ""])
    assert same["agreement"] == 1.0
    assert math.isnan(same["kappa"])
    perfect = agreement_interval(["a", "b"] * 9, ["a", "b"] * 9, [""] * 18)
    assert perfect["kappa"] == 1.0
    assert math.isnan(perfect["kappa_low"])  # no draw differs, so there is no variance to estimate


def test_every_two_labellers_are_compared_where_both_labelled():
    frame = pd.DataFrame(
        {
            "prompt_id": ["1", "2", "3", "4"],
            "released": ["a", "b", "a", "b"],
            "first": ["a", "b", "b", ""],
            "second": ["", "", "", "b"],
        }
    )
    rows = agreement_rows(frame, "held out")
    assert rows[["first", "second", "n"]].to_numpy().tolist() == [["released", "first", 3], ["released", "second", 1]]
    assert rows["agreement"][0] == pytest.approx(2 / 3)
    assert (rows["prompts"] == "held out").all()
