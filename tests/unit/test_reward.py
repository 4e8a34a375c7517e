"""The hybrid reward: formula, fitting, calibration, evaluation, storage, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trulysafe.errors import UserError
from trulysafe.reward import HybridReward, evaluate_reward, fit_hybrid_reward, fit_token_reward
from trulysafe.reward.calibration import calibrate, platt
from trulysafe.reward.evaluate import calibration_error, pair_accuracy
from trulysafe.reward.standardisation import STATE_NORM, set_standardisation
from trulysafe.reward.states import group_codes, split_rows

LAYERS, WIDTH = 3, 5


def random_reward(seed: int = 0) -> HybridReward:
    """A reward model whose every parameter and buffer differs from the neutral one."""
    generator = torch.Generator().manual_seed(seed)
    model = HybridReward(LAYERS, WIDTH)
    model.reset_parameters(generator)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(noise.exp() if name in ("scale", "temperature") else noise)
    return model


def pairs(
    count: int = 120, shift: float = 0.7, seed: int = 0, layers: int = LAYERS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian states; safe ones lie ``shift`` along a random direction of each layer."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(layers, WIDTH, generator=torch.Generator().manual_seed(99))
    safe, unsafe = torch.randn(2, count, layers, WIDTH, generator=generator)
    return safe + shift * direction, unsafe - shift * direction


def plain_reward(model: HybridReward, states: torch.Tensor) -> float:
    """One response, written from the formula: p_l, g = sigmoid(V p), r = sum g_l p_l."""
    values = {name: tensor.double() for name, tensor in model.state_dict().items()}
    p = []
    for layer in range(model.num_layers):
        h = (states[layer].double() - values["centre"][layer]) / values["scale"][layer]
        p.append(
            float(
                sum(values["probe_weight"][layer][d] * h[d] for d in range(model.hidden_size))
                + values["probe_bias"][layer]
            )
        )
    g = [
        1 / (1 + math.exp(-sum(float(values["gate"][row, layer]) * p[layer] for layer in range(len(p)))))
        for row in range(len(p))
    ]
    return sum(a * b for a, b in zip(g, p, strict=True))


def test_vectorised_reward_equals_a_loop_over_responses() -> None:
    model, states = random_reward(), torch.randn(4, LAYERS, WIDTH, generator=torch.Generator().manual_seed(1))
    expected = torch.tensor([plain_reward(model, one) for one in states])
    torch.testing.assert_close(model(states), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.cat([model(one[None]) for one in states]), model(states))
    for layer in range(LAYERS):
        torch.testing.assert_close(model.probe(layer, states[:, layer]), model.probe_scores(states)[:, layer])


def test_token_rewards_are_the_rewards_of_the_prefixes() -> None:
    model, states = random_reward(), torch.randn(2, 6, LAYERS, WIDTH)
    expected = torch.stack([model(states[:, token]) for token in range(6)], dim=1)
    torch.testing.assert_close(model.token_rewards(states), expected)


def test_gradients_by_finite_differences() -> None:
    model = random_reward().double()
    states = torch.randn(3, LAYERS, WIDTH, dtype=torch.float64, requires_grad=True)
    parameters = dict(model.named_parameters())

    def reward(states: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, dict(zip(parameters, values, strict=True)), (states,))

    assert torch.autograd.gradcheck(reward, (states, *parameters.values()))


def test_used_parameters_at_the_papers_size() -> None:
    """32 layers of width 4096: 32 probes and a gate of 32 x 32 without bias."""
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in HybridReward(32, 4096).parameters())
    assert count == 32 * 4096 + 32 + 32 * 32 == 132_128


def test_calibration_is_affine_and_keeps_the_order() -> None:
    model = random_reward()
    raw = torch.tensor([-1.0, 0.0, 2.0])
    torch.testing.assert_close(model.calibrated(raw), (raw - model.offset) / model.temperature)
    assert torch.equal(HybridReward(2, 3).calibrated(raw), raw)


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
    states = torch.cat(pairs()) * torch.rand(LAYERS, WIDTH) + 3
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


def test_groups_are_never_split() -> None:
    groups = [f"prompt {index // 4}" for index in range(80)]
    train, held_out = split_rows(group_codes(groups, 80), share=0.25, seed=0)
    assert len(train) + len(held_out) == 80
    assert len(held_out) == 20
    assert {groups[row] for row in train}.isdisjoint(groups[row] for row in held_out)


@pytest.mark.parametrize("shift", [0.05, 0.3, 5.0])
def test_calibration_minimises_the_log_loss(shift: float) -> None:
    """Also where the classes are separable, and where they can hardly be told apart."""
    draw = np.random.default_rng(0)
    safe, unsafe = draw.normal(3 + shift, 1, 400), draw.normal(3 - shift, 1, 400)
    offset, temperature = platt(safe, unsafe)
    assert temperature > 0
    high, low = 401 / 402, 1 / 402

    def loss(offset: float, temperature: float) -> float:
        logits = (np.concatenate([safe, unsafe]) - offset) / temperature
        target = np.repeat([high, low], 400)
        return float(np.mean(target * np.logaddexp(0, -logits) + (1 - target) * np.logaddexp(0, logits)))

    best = loss(offset, temperature)
    for factor in (0.9, 1.1):
        assert loss(offset, temperature * factor) > best
        assert loss(offset + (factor - 1), temperature) > best
    assert offset == pytest.approx(3, abs=0.2 if shift > 0.1 else 1.5)


def test_calibration_never_turns_a_reward_round() -> None:
    draw = np.random.default_rng(0)
    offset, temperature = platt(draw.normal(-1, 1, 50), draw.normal(1, 1, 50))
    assert temperature > 0
    assert np.abs((draw.normal(0, 1, 50) - offset) / temperature).max() < 0.01


def test_calibrated_rewards_of_a_fit_are_centred_and_calibrated() -> None:
    model = fit_hybrid_reward(*pairs(800, shift=0.2), validation_share=0.3, margin=5.0)
    scores = evaluate_reward(model, *pairs(800, shift=0.2, seed=1))["all"]
    assert scores["ece"] < 0.08
    assert abs(scores["mean_safe"] + scores["mean_unsafe"]) < 0.5
    uncalibrated = fit_hybrid_reward(*pairs(100), calibrate=False, epochs=1)
    assert (float(uncalibrated.offset), float(uncalibrated.temperature)) == (0.0, 1.0)


def test_recalibration_changes_the_buffers_only() -> None:
    model = fit_hybrid_reward(*pairs(60), epochs=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    calibrate(model, *pairs(60, shift=0.1, seed=3))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"offset", "temperature"}


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
    assert result["all"]["soft"] == pytest.approx((10 * result["EHD"]["soft"] + 20 * result["IHD"]["soft"]) / 30)


def test_token_reward_is_fitted_on_tokens_and_centred() -> None:
    safe, unsafe = (side.view(30, 4, LAYERS, WIDTH) for side in pairs(120))
    model = fit_token_reward(safe, unsafe, epochs=30)
    fresh = [side.view(30, 4, LAYERS, WIDTH) for side in pairs(120, seed=1)]
    rewards = [model.token_rewards(side).flatten().detach().numpy() for side in fresh]
    assert pair_accuracy(*rewards)["soft"] > 0.9


def test_saved_model_gives_the_same_rewards_and_refuses_another_base_model(tmp_path: Path) -> None:
    model, states = random_reward(), torch.randn(4, LAYERS, WIDTH)
    model.save_pretrained(tmp_path / "reward", identity={"model": "a", "pooling": "eos"})
    loaded = HybridReward.from_pretrained(tmp_path / "reward", expected_identity={"model": "a"})
    assert torch.equal(loaded(states), model(states))
    assert torch.equal(loaded.calibrated(states), model.calibrated(states))
    assert loaded.identity == {"model": "a", "pooling": "eos"}
    with pytest.raises(UserError, match=r"fitted for model='a', but is used with model='b'"):
        HybridReward.from_pretrained(tmp_path / "reward", expected_identity={"model": "b"})
    with pytest.raises(UserError, match="revision=None"):
        HybridReward.from_pretrained(tmp_path / "reward", expected_identity={"revision": "c"})


def test_damaged_artefacts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="file not found"):
        HybridReward.from_pretrained(tmp_path / "nothing")
    random_reward().save_pretrained(tmp_path, identity={})
    (tmp_path / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(UserError, match="not readable"):
        HybridReward.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="not readable"):
        HybridReward.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"num_layers": 3}))
    with pytest.raises(UserError, match="not the configuration"):
        HybridReward.from_pretrained(tmp_path)


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
    with pytest.raises(UserError, match=r"\[0, 1\)"):
        fit_hybrid_reward(*both, validation_share=1.0)
    with pytest.raises(UserError, match="epochs=0"):
        fit_hybrid_reward(*both, epochs=0)
    with pytest.raises(UserError, match="one group"):
        fit_hybrid_reward(*both, groups=["a"] * 20)
    with pytest.raises(UserError, match="19 groups for 20 pairs"):
        fit_hybrid_reward(*both, groups=["a"] * 19)
    with pytest.raises(UserError, match="at least 1"):
        HybridReward(0, 4)
    assert fit_hybrid_reward(*both, validation_share=0, calibrate=False, epochs=1).num_layers == LAYERS
