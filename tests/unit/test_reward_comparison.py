"""Baselines, nested cross-validation and layer analysis of the reward stage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from benchmarks.crossval import (
    candidate_difference,
    candidate_interval,
    compare_rewards,
    cross_validated,
    summarise,
)
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from trulysafe.common.errors import UserError
from trulysafe.reward.baselines import (
    best_layer,
    chosen_on_inner_folds,
    concatenated,
    grouped_folds,
    hybrid,
    mean_of_layers,
    single_layer,
)
from trulysafe.reward.layers import kernel_divergence, layer_analysis, principal_components

LAYERS, WIDTH = 3, 6


def states(count: int = 60, seed: int = 0, informative: int = 1, shift: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Noise in every layer but one, where the classes lie ``shift`` standard deviations on either side of 0."""
    draw = np.random.default_rng(seed)
    safe, unsafe = draw.normal(size=(2, count, LAYERS, WIDTH)).astype(np.float32)
    safe[:, informative, 0] += shift
    unsafe[:, informative, 0] -= shift
    return safe, unsafe


def groups(count: int = 60) -> np.ndarray:
    return np.arange(count)


def accuracy(scorer, seed: int = 1) -> float:
    safe, unsafe = states(400, seed)
    return float(np.concatenate([scorer(safe) > 0, scorer(unsafe) < 0]).mean())


def test_each_baseline_finds_the_informative_layer() -> None:
    both = states()
    assert accuracy(single_layer(1)(*both, groups())) > 0.85
    assert accuracy(single_layer(0)(*both, groups())) < 0.6
    for fitter in (best_layer, concatenated(), mean_of_layers, hybrid(epochs=100)):
        assert accuracy(fitter(*both, groups())) > 0.75


def test_single_layer_is_the_plain_logistic_regression() -> None:
    safe, unsafe = states()
    rows = np.concatenate([safe[:, 2], unsafe[:, 2]])
    centre, scale = rows.mean(axis=0), rows.std(axis=0)
    plain = LogisticRegression(C=0.3).fit((rows - centre) / scale, np.repeat([1, 0], 60))
    expected = plain.decision_function((safe[:, 2] - centre) / scale)
    assert single_layer(2, strength=0.3)(safe, unsafe, groups())(safe) == pytest.approx(expected, abs=1e-3)


def test_mean_of_layers_averages_their_log_odds() -> None:
    both = states()
    expected = np.mean([single_layer(layer)(*both, groups())(both[0]) for layer in range(LAYERS)], axis=0)
    assert mean_of_layers(*both, groups())(both[0]) == pytest.approx(expected)


def test_folds_keep_groups_together_and_cover_every_row() -> None:
    codes = np.repeat(np.arange(10), 3)
    folds = grouped_folds(codes, 4, seed=0)
    assert sorted(row for _, test in folds for row in test) == list(range(30))
    for train, test in folds:
        assert set(codes[train]).isdisjoint(codes[test])
    assert len(grouped_folds(np.array([0, 0, 1, 1]), 10, seed=0)) == 2
    assert any(
        (a[1] != b[1]).any() for a, b in zip(grouped_folds(groups(), 5, 0), grouped_folds(groups(), 5, 1), strict=True)
    )


def test_selection_happens_inside_the_training_rows() -> None:
    """A candidate that recalls the rows it was fitted on scores by chance where it is tested, and is not chosen."""

    def memory(safe: np.ndarray, unsafe: np.ndarray, _groups: np.ndarray):
        known = {row.tobytes(): 1.0 for row in safe} | {row.tobytes(): -1.0 for row in unsafe}
        return lambda rows: np.array([known.get(row.tobytes(), 0.0) for row in rows])

    safe, unsafe = states(40, shift=0.5)
    chosen = chosen_on_inner_folds({"memory": memory, "layer": single_layer(1)})(safe, unsafe, groups(40))
    assert np.abs(chosen(states(5, seed=7)[0])).min() > 0
    table = cross_validated(safe, unsafe, memory, groups(40))
    assert (table[["safe_reward", "unsafe_reward"]] == 0).all(axis=None)


def test_groups_stop_duplicates_from_leaking() -> None:
    """Rows that repeat are known to a memory unless their copies are kept out of the training rows."""

    def nearest(safe: np.ndarray, unsafe: np.ndarray, _groups: np.ndarray):
        def score(rows: np.ndarray) -> np.ndarray:
            flat = rows.reshape(len(rows), 1, -1)
            near = [np.square(flat - side.reshape(1, len(side), -1)).sum(axis=2).min(axis=1) for side in (safe, unsafe)]
            return near[1] - near[0]

        return score

    safe, unsafe = (np.repeat(side, 3, axis=0) for side in states(20, shift=0.0))
    candidates = {"nearest": nearest}
    leaky = summarise(compare_rewards(safe, unsafe, candidates))
    grouped = summarise(compare_rewards(safe, unsafe, candidates, groups=np.repeat(np.arange(20), 3)))
    assert leaky["hard"][0] > 0.9
    assert grouped["hard"][0] < 0.7


def test_comparison_is_paired_and_has_an_interval() -> None:
    candidates = {"right": single_layer(1), "wrong": single_layer(0), "same": single_layer(1)}
    rewards = compare_rewards(*states(), candidates, folds=5, repeats=2)
    assert len(rewards) == 3 * 2 * 60
    summary = summarise(rewards).set_index("candidate")
    for measure in ("hard", "soft", "auc"):
        found = candidate_difference(rewards, "right", "wrong", measure)
        assert found.value == pytest.approx(summary[measure]["right"] - summary[measure]["wrong"], abs=1e-9)
        assert 0 < found.low < found.value < found.high
        assert found.n == 60
        right = candidate_interval(rewards, "right", measure)
        assert right.value == pytest.approx(summary[measure]["right"], abs=1e-9)
        assert right.low < right.value < right.high
        same = candidate_difference(rewards, "right", "same", measure)
        assert same.value == 0
    with pytest.raises(UserError, match="Accepted: right, same, wrong"):
        candidate_difference(rewards, "right", "other")
    with pytest.raises(UserError, match="hard, soft, auc"):
        candidate_difference(rewards, "right", "wrong", "accuracy")
    with pytest.raises(UserError, match="Accepted: right, same, wrong"):
        candidate_interval(rewards, "other")


@pytest.mark.slow
def test_intervals_of_an_auc_cover_it_and_reject_a_true_null_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    covered = rejected = 0
    draws, n, shift = 400, 80, 0.5
    truth = norm.cdf(shift / np.sqrt(2))
    for _ in range(draws):
        table = pd.concat(
            [
                pd.DataFrame(
                    {
                        "candidate": name, "repeat": 0, "pair": np.arange(n), "group": np.arange(n), "fold": 0,
                        "safe_reward": rng.normal(shift, 1, n), "unsafe_reward": rng.normal(0, 1, n),
                    }
                )
                for name in ("a", "b")
            ]
        )  # fmt: skip
        found = candidate_interval(table, "a", "auc")
        covered += found.low <= truth <= found.high
        rejected += candidate_difference(table, "a", "b", "auc").p_value < 0.05
    assert 0.92 < covered / draws < 0.98
    assert 0.02 < rejected / draws < 0.08


def test_interval_widens_where_pairs_repeat() -> None:
    safe, unsafe = states(30, shift=0.6)
    candidates = {"a": single_layer(1), "b": concatenated()}
    copies = compare_rewards(
        *(np.repeat(side, 4, axis=0) for side in (safe, unsafe)), candidates, groups=np.repeat(np.arange(30), 4)
    )
    grouped = candidate_difference(copies, "a", "b", "auc")
    apart = candidate_difference(copies.assign(group=copies["pair"]), "a", "b", "auc")
    assert grouped.value == pytest.approx(apart.value)
    assert grouped.high - grouped.low > 1.5 * (apart.high - apart.low)


def test_layer_analysis_is_tidy_and_right() -> None:
    safe, unsafe = states(80)
    tables = layer_analysis(safe, unsafe)
    divergence = tables["kl"].set_index("layer")
    assert divergence.index.tolist() == [1, 2, 3]
    assert divergence.loc[2].min() > 2 * divergence.drop(index=2).to_numpy().max()
    points = tables["pca"]
    assert len(points) == 3 * 2 * 80
    means = points[points["layer"] == 2].groupby("label")["pc1"].mean()
    assert abs(means["safe"] - means["unsafe"]) > 2
    assert not points[["pc1", "pc2"]].isna().any(axis=None)


def test_components_are_shared_by_both_classes() -> None:
    safe, unsafe = states(50)
    first, second = principal_components(safe[:, 1], unsafe[:, 1])
    assert np.concatenate([first, second]).mean(axis=0) == pytest.approx([0, 0], abs=1e-4)
    covariance = np.cov(np.concatenate([first, second]).T)
    assert covariance[0, 1] == pytest.approx(0, abs=1e-3)
    assert covariance[0, 0] > covariance[1, 1]


def test_divergence_of_known_gaussians() -> None:
    draw = np.random.default_rng(0)
    p, same, far = draw.normal(size=(2000, 2)), draw.normal(size=(2000, 2)), draw.normal([1.5, 0], 1, size=(2000, 2))
    assert kernel_divergence(p, same) == pytest.approx(0, abs=0.03)
    assert kernel_divergence(p, far) == pytest.approx(1.5**2 / 2, rel=0.15)
    wide = draw.normal(0, 2, size=(2000, 2))
    assert kernel_divergence(p, wide) == pytest.approx(2 * (np.log(2) + 1 / 8 - 1 / 2), rel=0.15)
    assert kernel_divergence(wide, p) > kernel_divergence(p, wide)
    assert np.isnan(kernel_divergence(np.zeros((5, 2)), p))


def test_bad_input() -> None:
    safe, unsafe = states(10)
    with pytest.raises(UserError, match="must be paired"):
        layer_analysis(safe, unsafe[:5])
    with pytest.raises(UserError, match="must be paired"):
        compare_rewards(safe, unsafe[:5], {"a": single_layer(0)})
    with pytest.raises(UserError, match="3 groups for 10 pairs"):
        compare_rewards(safe, unsafe, {"a": single_layer(0)}, groups=[1, 2, 3])
