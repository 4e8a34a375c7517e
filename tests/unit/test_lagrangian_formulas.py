"""The formulas of PPO-Lagrangian against plain loops and closed forms."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_ppo_formulas import batches
from trulysafe.common.errors import UserError
from trulysafe.methods.lagrangian import combined, next_multiplier
from trulysafe.methods.ppo import advantages_and_returns, rewards_of_tokens

multipliers = st.one_of(st.just(0.0), st.floats(0, 50))


@given(batches(), multipliers)
def test_advantages_are_joined_as_in_a_plain_loop(batch, multiplier: float) -> None:
    of_reward, of_cost = (tensor.double() for tensor in batch[:2])
    found = combined(of_reward, of_cost, multiplier)
    for row in range(len(of_reward)):
        for place in range(of_reward.shape[1]):
            gain, harm = float(of_reward[row, place]), float(of_cost[row, place])
            share = 1 / (1 + multiplier)
            assert float(found[row, place]) == pytest.approx(share * gain - (1 - share) * harm, abs=1e-9)


@given(batches())
def test_a_multiplier_of_0_leaves_the_reward_as_it_is(batch) -> None:
    assert torch.equal(combined(batch[0], batch[1], 0.0), batch[0])


@given(batches(), multipliers, st.floats(0, 1), st.floats(0, 1))
def test_distance_costs_the_same_whatever_the_multiplier(batch, multiplier: float, kl: float, decay: float) -> None:
    """Taken from the reward and added to the cost, the price falls out of the joined advantage unchanged."""
    ratios, mask = batch[0].double(), batch[3]
    nothing, values = torch.zeros(len(mask), dtype=torch.float64), torch.zeros_like(ratios)
    of_reward, of_cost = (
        advantages_and_returns(rewards_of_tokens(nothing, ratios, mask, price), values, mask, 1.0, decay)[0]
        for price in (kl, -kl)
    )
    torch.testing.assert_close(combined(of_reward, of_cost, multiplier), of_reward, atol=1e-9, rtol=1e-9)


@given(multipliers, st.floats(-20, 20), st.floats(-5, 5), st.floats(0, 1))
def test_a_step_is_the_gradient_of_the_dual_in_the_logarithm(
    multiplier: float, cost: float, threshold: float, rate: float
) -> None:
    """By autograd on log lambda, as the released code does it."""
    found = next_multiplier(multiplier, cost, threshold, rate, 60.0)
    if multiplier == 0:
        assert found == 0
        return
    logarithm = torch.tensor(math.log(multiplier), dtype=torch.float64, requires_grad=True)
    (-(cost - threshold) * logarithm.exp()).backward()
    assert logarithm.grad is not None
    moved = float(logarithm.detach() - rate * logarithm.grad)
    assert found == pytest.approx(math.exp(min(moved, math.log(60.0))), rel=1e-9)
    assert 0 <= found <= 60


def test_a_constant_excess_raises_it_by_the_closed_form() -> None:
    """While rate times excess is small, d lambda / d step = a lambda^2, so lambda(k) = lambda / (1 - a lambda k)."""
    multiplier, rate, excess, steps = 1.0, 1e-5, 2.0, 20_000
    for _ in range(steps):
        multiplier = next_multiplier(multiplier, 3.0, 3.0 - excess, rate, 5.0)
    assert multiplier == pytest.approx(1 / (1 - rate * excess * steps), rel=1e-3)
    assert next_multiplier(2.0, 1.5, 0.5, 0.1, 5.0) == pytest.approx(2 * math.exp(0.1 * 2 * 1.0))
    assert next_multiplier(2.0, 1e9, 0.0, 1.0, 5.0) == 5.0  # no overflow


def test_below_the_threshold_it_falls_towards_0_and_never_below() -> None:
    found = [5.0]
    for _ in range(2000):
        found.append(next_multiplier(found[-1], -4.0, 0.0, 0.1, 5.0))
    assert all(0 <= later < earlier for earlier, later in pairwise(found))
    assert found[-1] < 0.002
    assert next_multiplier(5.0, -1e9, 0.0, 1.0, 5.0) == 0.0


def test_at_the_threshold_or_without_a_rate_it_stays() -> None:
    assert next_multiplier(1.7, 0.3, 0.3, 0.1, 5.0) == 1.7
    assert next_multiplier(1.7, 9.0, 0.3, 0.0, 5.0) == 1.7


def test_what_cannot_be_joined_is_refused() -> None:
    ones = torch.ones(2, 3)
    with pytest.raises(UserError, match=r"shapes differ, \(2, 3\) of the reward, \(2, 2\) of the cost"):
        combined(ones, torch.ones(2, 2), 1.0)
    for wrong in (-0.1, math.nan, math.inf):
        with pytest.raises(UserError, match=r"the multiplier .* is not accepted"):
            combined(ones, ones, wrong)
    with pytest.raises(UserError, match="the mean cost is nan"):
        next_multiplier(1.0, math.nan, 0.0, 0.1, 5.0)
