"""The stack against plain fits: ridge with groups left out one by one, and least squares with bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from trulysafe.common.errors import UserError
from trulysafe.reward import stack
from trulysafe.reward.calibration import platt
from trulysafe.reward.fit import fit_hybrid_reward
from trulysafe.reward.options import FitOptions

LAYERS, PAIRS = 3, 30
GROUPS = np.arange(PAIRS) // 2
TARGET = np.repeat([1.0, -1.0], PAIRS)


def states(width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of many sizes, the last of which never varies; later layers tell the sides apart better."""
    draw = np.random.default_rng(seed)
    sizes = np.linspace(0.1, 30, width) * (np.arange(width) < width - 1)
    safe, unsafe = draw.normal(size=(2, PAIRS, LAYERS, width))
    return tuple((7 + (side * sizes)).astype(np.float32) for side in (safe + 0.2 * np.arange(LAYERS)[:, None], unsafe))


def left_out(features: np.ndarray, penalty: float) -> np.ndarray:
    """Scores of each group by a fit on the other groups' rows."""
    groups, scores = np.tile(GROUPS, 2), np.empty(len(features))
    for group in np.unique(groups):
        out = groups == group
        scores[out] = Ridge(penalty).fit(features[~out], TARGET[~out]).predict(features[out])
    return scores


@pytest.mark.parametrize("width", [12, 200])
def test_reward_is_the_stack_of_plain_fits(width: int) -> None:
    """With fewer features than rows, and with more."""
    safe, unsafe = states(width)
    fresh, rewards = states(width, seed=1)[0], []
    columns, probes = [], []
    for layer in range(LAYERS):
        rows = np.concatenate([safe[:, layer], unsafe[:, layer]]).astype(float)
        scale = np.where(rows.std(axis=0) > 1e-3, rows.std(axis=0), 1.0)
        features = (rows - rows.mean(axis=0)) / scale
        unit = (features**2).sum() / len(features)
        found = {penalty: left_out(features, penalty * unit) for penalty in stack.PENALTIES}
        chosen = min(found, key=lambda penalty: ((TARGET - found[penalty]) ** 2).mean())
        columns.append(found[chosen])
        fitted = Ridge(chosen * unit).fit(features, TARGET)
        probes.append(fitted.predict((fresh[:, layer] - rows.mean(axis=0)) / scale))
    scores = np.stack(columns, axis=1)
    mean = scores.mean(axis=1)
    pull = np.sqrt(stack.SHRINKAGE * (scores**2).sum() / LAYERS)
    common = mean @ TARGET / (mean @ mean) / LAYERS
    shares = lsq_linear(
        np.vstack([scores, pull * np.eye(LAYERS)]), np.append(TARGET, [pull * common] * LAYERS), bounds=(0, np.inf)
    ).x
    zero, temperature = platt(*np.split(scores @ shares, 2))
    rewards = (shares @ np.stack(probes) - zero) / temperature

    model = fit_hybrid_reward(safe, unsafe, initialise="stack", validation_share=0.0, groups=GROUPS.tolist())
    with torch.no_grad():
        assert model.calibrated(model(torch.as_tensor(fresh))).numpy() == pytest.approx(rewards, abs=2e-3)
    assert not model.gate.any()
    assert float(model.temperature) == 1.0


@pytest.mark.parametrize("standardise", ["none", "global", "layer", "feature"])
def test_how_states_are_standardised_for_training_makes_no_difference(standardise: str) -> None:
    fresh = torch.as_tensor(states(12, seed=1)[0])
    first, other = (
        fit_hybrid_reward(*states(12), initialise="stack", standardise=how) for how in ("global", standardise)
    )
    assert other(fresh).tolist() == pytest.approx(first(fresh).tolist(), abs=1e-3)


def test_scores_of_groups_left_out_know_nothing_of_noise() -> None:
    """In far more dimensions than rows any labels can be learnt; weights and temperature come from what cannot."""
    draw = np.random.default_rng(3)
    noise, fresh = draw.normal(size=(2, 2, 120, LAYERS, 400)).astype(np.float32)
    model = fit_hybrid_reward(*noise, initialise="stack")
    with torch.no_grad():
        fitted, rewards = (
            np.concatenate([model.calibrated(model(torch.as_tensor(side))).numpy() for side in sides])
            for sides in (noise, fresh)
        )
    assert roc_auc_score(np.repeat([1, 0], 120), fitted) > 0.9
    assert np.abs(rewards).mean() < 0.5


def test_stack_is_where_the_joint_fit_starts_and_stays_where_nothing_is_trained() -> None:
    still = {"epochs": 1, "learning_rate": 0.0, "weight_decay": 0.0, "calibrate": False}
    kept = fit_hybrid_reward(*states(12), initialise="stack", calibrate=False)
    start = fit_hybrid_reward(*states(12), initialise="stack", trained="all", **still)
    moved = fit_hybrid_reward(*states(12), initialise="stack", trained="all", **{**still, "learning_rate": 1e-3})
    for name, value in kept.named_parameters():
        assert torch.equal(value, start.get_parameter(name))
        assert not torch.equal(value, moved.get_parameter(name)) or name == "probe_bias"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"initialise": "stack", "epochs": 10}, r"epochs.*no effect.*set trained to all"),
        ({"initialise": "random", "trained": "none"}, r"trained.*random weights"),
        ({"initialise": "stack", "trained": "all", "validation_share": 0.0}, r"validation_share.*0 leaves no pairs"),
        ({"initialise": "stack", "two_stage": True, "trained": "none"}, r"two_stage|no effect|trained"),
    ],
)
def test_options_without_an_effect_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        FitOptions(**options)  # type: ignore[arg-type]
