"""The hybrid reward's formula and its artefact on disk."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from tests.unit.reward_states import LAYERS, WIDTH, random_reward
from trulysafe.common.errors import UserError
from trulysafe.reward.model import HybridReward


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


def test_saved_model_gives_the_same_rewards_and_refuses_another_base_model(tmp_path: Path) -> None:
    model, states = random_reward(), torch.randn(4, LAYERS, WIDTH)
    model.save_pretrained(tmp_path / "reward", identity={"model": "a", "pooling": "eos"})
    loaded = HybridReward.from_pretrained(tmp_path / "reward", expected_identity={"model": "a"})
    assert torch.equal(loaded(states), model(states))
    assert torch.equal(loaded.calibrated(states), model.calibrated(states))
    assert loaded.identity == {"model": "a", "pooling": "eos"}
    loaded.save_pretrained(tmp_path / "again")
    assert HybridReward.from_pretrained(tmp_path / "again").identity == loaded.identity
    with pytest.raises(UserError, match=r"fitted for model='a', but is used with model='b'"):
        HybridReward.from_pretrained(tmp_path / "reward", expected_identity={"model": "b"})
    with pytest.raises(UserError, match="revision=None"):
        HybridReward.from_pretrained(tmp_path / "reward", expected_identity={"revision": "c"})


def test_reading_draws_nothing_at_random(tmp_path: Path) -> None:
    random_reward().save_pretrained(tmp_path)
    before = torch.get_rng_state()
    HybridReward.from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("key", ["num_layers", "hidden_size"])
@pytest.mark.parametrize("value", ["3", 3.0, True, None, 0])
def test_sizes_that_are_no_whole_numbers_are_damage(tmp_path: Path, key: str, value: object) -> None:
    random_reward().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(UserError, match=rf"config.json: not the configuration.*{key} is {value!r}"):
        HybridReward.from_pretrained(tmp_path)


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
