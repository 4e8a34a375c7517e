"""Where the hybrid reward starts from, which of its parameters training moves, and what becomes of steps that are too
large."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from trulysafe.common.errors import UserError
from trulysafe.reward.baselines import mean_of_layers
from trulysafe.reward.fit import STRENGTH, classifier, fit_hybrid_reward, layer_probes
from trulysafe.reward.model import HybridReward, reward_margin_loss

LAYERS = 3
STILL = {"epochs": 1, "learning_rate": 0.0, "weight_decay": 0.0, "validation_share": 0.0, "calibrate": False}


def states(count: int = 30, width: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    safe, unsafe = draw.normal(3.0, 2.0, size=(2, count, LAYERS, width)).astype(np.float32)
    return safe + 0.8, unsafe


@pytest.mark.parametrize("width", [8, 200])
def test_classifier_is_the_plain_logistic_regression(width: int) -> None:
    """With fewer features than rows, and with more, where it is found in the span of the rows."""
    safe, unsafe = (side[:, 0] for side in states(width=width))
    rows, labels = np.concatenate([safe, unsafe]), np.repeat([1, 0], len(safe))
    centre, scale = rows.mean(axis=0), rows.std(axis=0)
    plain = LogisticRegression(C=STRENGTH, tol=1e-8, max_iter=5000).fit((rows - centre) / scale, labels)
    fresh = states(width=width, seed=1)[0][:, 0]
    found = classifier(safe, unsafe).decision_function(fresh)
    assert found == pytest.approx(plain.decision_function((fresh - centre) / scale), abs=2e-3)


@pytest.mark.parametrize("width", [8, 200])
def test_probes_give_the_log_odds_of_their_layers(width: int) -> None:
    both, fresh = states(width=width), states(width=width, seed=1)[0]
    weights, biases = layer_probes(*both)
    for layer in range(LAYERS):
        expected = classifier(*(side[:, layer] for side in both)).decision_function(fresh[:, layer])
        assert fresh[:, layer] @ weights[layer] + biases[layer] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("standardise", ["none", "global", "layer", "feature"])
@pytest.mark.parametrize("width", [8, 200])
def test_reward_starts_as_the_mean_of_the_layers(standardise: str, width: int) -> None:
    both, fresh = states(width=width), states(width=width, seed=1)[0]
    model = fit_hybrid_reward(*both, initialise="probes", standardise=standardise, **STILL)
    expected = mean_of_layers(*both, np.arange(30))(fresh)
    assert model(torch.as_tensor(fresh)).detach().numpy() == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("initialise", ["random", "probes"])
@pytest.mark.parametrize(
    ("trained", "moved"), [("all", {"probe_weight", "gate"}), ("probes", {"probe_weight"}), ("gates", {"gate"})]
)
def test_training_moves_what_it_should_and_nothing_else(initialise: str, trained: str, moved: set[str]) -> None:
    """Biases follow the probes; under equal gates they cancel out of every margin and need not move."""
    options = {"initialise": initialise, "trained": trained}
    before = dict(fit_hybrid_reward(*states(), **options, **STILL).named_parameters())
    after = dict(fit_hybrid_reward(*states(), **options, **{**STILL, "learning_rate": 1e-2}).named_parameters())
    assert {name for name in ("probe_weight", "gate") if not torch.equal(before[name], after[name])} == moved
    for name in moved:
        assert (before[name] != after[name]).float().mean() > 0.95
    if trained == "gates":
        assert torch.equal(before["probe_bias"], after["probe_bias"])


def test_choices_that_are_not_accepted() -> None:
    with pytest.raises(UserError, match="random, probes"):
        fit_hybrid_reward(*states(), initialise="zeros")
    with pytest.raises(UserError, match="all, probes, gates"):
        fit_hybrid_reward(*states(), trained="gate")
    with pytest.raises(UserError, match=r"fit\.trained: 'gates' with two_stage: .*Set trained to all"):
        fit_hybrid_reward(*states(), trained="gates", two_stage=True)


def test_fit_that_diverges_ends_with_advice() -> None:
    with pytest.raises(UserError, match=r"diverged with learning_rate=1e\+30 .*Lower the learning rate"):
        fit_hybrid_reward(*states(), learning_rate=1e30, epochs=3)


@pytest.mark.parametrize(
    ("name", "value"), [("learning_rate", -1e-3), ("learning_rate", float("nan")), ("weight_decay", -0.1)]
)
def test_steps_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{name}: {value}"):
        fit_hybrid_reward(*states(), **{name: value})


def test_loss_of_the_fit_has_the_gradients_of_finite_differences() -> None:
    """From states through probes, gates and margin to the loss, in float64."""
    model = HybridReward(LAYERS, 4).double()
    sides = torch.randn(2, 3, LAYERS, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parameters = dict(model.named_parameters())

    def loss(*values: torch.Tensor) -> torch.Tensor:
        named = dict(zip(parameters, values, strict=True))
        safe, unsafe = (torch.func.functional_call(model, named, (side,)) for side in sides)
        return reward_margin_loss(safe, unsafe, 1.0)

    assert torch.autograd.gradcheck(loss, tuple(parameters.values()))
    direct = -torch.log(torch.sigmoid(model(sides[0]) - model(sides[1]) - 1.0))
    torch.testing.assert_close(loss(*parameters.values()), direct)
