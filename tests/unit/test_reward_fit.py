"""Fitting the hybrid reward: what it learns from which pairs, standardisation, groups, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.unit.reward_states import LAYERS, WIDTH, pairs
from trulysafe.common.errors import UserError
from trulysafe.reward.calibration import STATE_NORM, set_standardisation
from trulysafe.reward.evaluate import evaluate_reward, pair_accuracy
from trulysafe.reward.fit import fit_hybrid_reward, fit_token_reward
from trulysafe.reward.model import HybridReward
from trulysafe.reward.states import group_codes, split_rows


@pytest.mark.parametrize(
    "options", [{}, {"two_stage": True}, {"standardise": "none"}, {"early_stopping": "hard"}, {"pairing": "given"}]
)
def test_fit_separates_new_pairs_and_moves_every_parameter(options: dict) -> None:
    model = fit_hybrid_reward(*pairs(), **options)
    assert evaluate_reward(model, *pairs(seed=1))["all"]["soft"] > 0.9
    start = fit_hybrid_reward(*pairs(), **{**options, "epochs": 1, "learning_rate": 0.0, "early_stopping": None})
    for (name, before), after in zip(start.named_parameters(), model.parameters(), strict=True):
        assert (before != after).float().mean() > 0.95, name
        assert after.grad is None


def test_two_stages_train_the_probes_apart() -> None:
    """In the first stage a layer's probe is the same whatever the other layers hold."""
    safe, unsafe = pairs()
    other_safe, other_unsafe = safe.clone(), unsafe.clone()
    other_safe[:, 1:], other_unsafe[:, 1:] = torch.randn(2, *safe[:, 1:].shape)
    first, second = (
        fit_hybrid_reward(*both, two_stage=True, standardise="none")
        for both in ((safe, unsafe), (other_safe, other_unsafe))
    )
    torch.testing.assert_close(first.probe_weight[0], second.probe_weight[0])
    joint, other = (fit_hybrid_reward(*both) for both in ((safe, unsafe), (other_safe, other_unsafe)))
    assert (joint.probe_weight[0] - other.probe_weight[0]).abs().max() > 1e-2


def test_crossed_pairs_make_rewards_comparable_across_prompts() -> None:
    """Where prompts shift all their responses, only crossed pairs teach the reward to ignore the prompt."""
    safe, unsafe = pairs(200, shift=0.3)
    hard = {}
    fresh = pairs(200, shift=0.3, seed=1)
    shifts = [torch.randn(200, 1, WIDTH, generator=torch.Generator().manual_seed(seed)) * 2 for seed in (2, 3)]
    for pairing in ("given", "crossed"):
        model = fit_hybrid_reward(safe + shifts[0], unsafe + shifts[0], pairing=pairing, epochs=100)
        hard[pairing] = evaluate_reward(model, *(side + shifts[1] for side in fresh))["all"]["hard"]
    assert hard["crossed"] > hard["given"] + 0.02


def test_fit_is_deterministic_and_depends_on_the_seed() -> None:
    first, again, other = (fit_hybrid_reward(*pairs(40), epochs=3, seed=seed) for seed in (0, 0, 1))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not torch.equal(first.probe_weight, other.probe_weight)


def test_fit_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    fit_hybrid_reward(*pairs(40), epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_fit_takes_numpy_and_half_precision() -> None:
    safe, unsafe = (side.half() for side in pairs(40))
    from_tensor = fit_hybrid_reward(safe, unsafe, epochs=2)
    from_array = fit_hybrid_reward(safe.numpy(), unsafe.numpy(), epochs=2)
    assert from_tensor.probe_weight.dtype == torch.float32
    assert torch.equal(from_tensor.probe_weight, from_array.probe_weight)


def test_standardisation_makes_the_fit_blind_to_the_scale_of_a_layer() -> None:
    safe, unsafe = pairs()
    scale = torch.tensor([1e-3, 1.0, 1e3])[:, None]
    for how, factor in (("global", 10.0), ("layer", scale), ("feature", scale)):
        plain = fit_hybrid_reward(safe, unsafe, standardise=how)
        scaled = fit_hybrid_reward((safe + 5) * factor, (unsafe + 5) * factor, standardise=how)
        torch.testing.assert_close(scaled.probe_weight, plain.probe_weight, atol=1e-2, rtol=1e-2)
    model = HybridReward(LAYERS, WIDTH)
    states = torch.cat(pairs()) * torch.linspace(0.1, 1.0, LAYERS * WIDTH).reshape(LAYERS, WIDTH) + 3
    set_standardisation(model, states, "feature")
    standard = (states - model.centre) / model.scale
    torch.testing.assert_close(standard.mean(dim=0), torch.zeros(LAYERS, WIDTH), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        standard.std(dim=0, unbiased=False), torch.full((LAYERS, WIDTH), STATE_NORM / WIDTH**0.5)
    )
    for how in ("global", "layer"):
        set_standardisation(model, states, how)
        norms = ((states - model.centre) / model.scale).square().sum(dim=-1).mean(dim=0).sqrt()
        assert norms.square().mean().sqrt().item() == pytest.approx(STATE_NORM, rel=1e-4)
        assert (norms.std().item() < 1e-3) == (how == "layer")


def test_constant_features_are_harmless() -> None:
    safe, unsafe = pairs(40)
    safe[:, :, 0] = unsafe[:, :, 0] = 7.0
    model = fit_hybrid_reward(safe, unsafe, standardise="feature", epochs=2)
    assert torch.isfinite(model(safe)).all()


@pytest.mark.parametrize("label", [lambda number: f"prompt {number}", lambda number: ("prompt", number)])
def test_groups_are_never_split(label: Callable[[int], object]) -> None:
    groups = [label(index // 4) for index in range(80)]
    train, held_out = split_rows(group_codes(groups, 80), share=0.25, seed=0)
    assert len(train) + len(held_out) == 80
    assert len(held_out) == 20
    assert {groups[row] for row in train}.isdisjoint(groups[row] for row in held_out)


def test_token_reward_is_fitted_on_tokens_and_centred() -> None:
    safe, unsafe = (side.view(30, 4, LAYERS, WIDTH) for side in pairs(120))
    model = fit_token_reward(safe, unsafe, epochs=30)
    fresh = [side.view(30, 4, LAYERS, WIDTH) for side in pairs(120, seed=1)]
    rewards = [model.token_rewards(side).flatten().detach().numpy() for side in fresh]
    assert pair_accuracy(*rewards)["soft"] > 0.9


def test_bad_states() -> None:
    safe, unsafe = pairs(20)
    broken = safe.clone()
    broken[3, 1, 2] = float("nan")
    with pytest.raises(UserError, match="safe states, row 3, layer 2 hold NaN"):
        fit_hybrid_reward(broken, unsafe)
    broken[3, 1, 2] = float("inf")
    with pytest.raises(UserError, match="unsafe states, row 3, layer 2"):
        fit_hybrid_reward(safe, broken)
    with pytest.raises(UserError, match="one class only"):
        fit_hybrid_reward(safe, unsafe[:0])
    with pytest.raises(UserError, match="must be paired"):
        fit_hybrid_reward(safe, unsafe[:10])
    with pytest.raises(UserError, match="must be paired"):
        fit_hybrid_reward(safe, unsafe[:, :2])
    for nothing in (None, {"states": safe}, "states.safetensors", [[1.0], [1.0, 2.0]]):
        with pytest.raises(UserError, match=r"unsafe states of type \w+ are no array.*\[pairs, layers, width\]"):
            fit_hybrid_reward(safe, nothing)
    with pytest.raises(UserError, match="3 pairs are too few"):
        fit_hybrid_reward(safe[:3], unsafe[:3])
    with pytest.raises(UserError, match=r"expected \[pairs, layers, width\]"):
        fit_hybrid_reward(safe[:, 0], unsafe[:, 0])
    model = HybridReward(LAYERS, WIDTH)
    with pytest.raises(UserError, match="made for 3 layers of width 5"):
        model(torch.zeros(2, LAYERS + 1, WIDTH))
    with pytest.raises(UserError, match=r"\[responses, layers, width\]"):
        model(torch.zeros(LAYERS, WIDTH))
    with pytest.raises(UserError, match=r"\[responses, tokens, layers, width\]"):
        model.token_rewards(torch.zeros(2, LAYERS, WIDTH))
    with pytest.raises(UserError, match="risk classes"):
        evaluate_reward(model, safe, unsafe, ["EHD"])


def test_bad_options() -> None:
    both = pairs(20)
    with pytest.raises(UserError, match="given, crossed"):
        fit_hybrid_reward(*both, pairing="random")
    with pytest.raises(UserError, match="none, global, layer, feature"):
        fit_hybrid_reward(*both, standardise="layers")
    with pytest.raises(UserError, match="soft, hard, true"):
        fit_hybrid_reward(*both, early_stopping="best")
    with pytest.raises(UserError, match="leaves no pairs"):
        fit_hybrid_reward(*both, validation_share=0)
    with pytest.raises(UserError, match=r"validation_share: 1\.0 is not accepted\. Accepted: a number below 1"):
        fit_hybrid_reward(*both, validation_share=1.0)
    with pytest.raises(UserError, match=r"validation_share: 0\.999 of 20 pairs in 20 groups leaves none"):
        fit_hybrid_reward(*both, validation_share=0.999)
    with pytest.raises(UserError, match=r"validation_share: 0\.67 of 20 pairs in 3 groups leaves none"):
        fit_hybrid_reward(*both, validation_share=0.67, groups=[index % 3 for index in range(20)])
    for margin in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(UserError, match=f"margin: {margin}"):
            fit_hybrid_reward(*both, margin=margin)
    with pytest.raises(UserError, match=r"epochs: 0 is not accepted\. Accepted: a number, 1 or more"):
        fit_hybrid_reward(*both, epochs=0)
    with pytest.raises(UserError, match="one group"):
        fit_hybrid_reward(*both, groups=["a"] * 20)
    with pytest.raises(UserError, match="19 groups for 20 pairs"):
        fit_hybrid_reward(*both, groups=["a"] * 19)
    with pytest.raises(UserError, match="at least 1"):
        HybridReward(0, 4)
    assert fit_hybrid_reward(*both, validation_share=0, calibrate=False, epochs=1).num_layers == LAYERS
