"""The formulas of PPO and its mask against plain loops written from the equations."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trulysafe.common.errors import UserError
from trulysafe.methods.ppo import advantage_mask, advantages_and_returns, rewards_of_tokens, value_loss, whitened

number = st.one_of(st.sampled_from([0.0, 0.5, -0.5, -0.0]), st.floats(-3, 3, width=32))


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three tables of numbers and a mask of responses, some of them empty, [rows, tokens]."""
    rows, tokens = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    tables = [torch.tensor([[draw(number) for _ in range(tokens)] for _ in range(rows)]) for _ in range(3)]
    lengths = [draw(st.integers(0, tokens)) for _ in range(rows)]
    mask = torch.tensor([[int(place < length) for place in range(tokens)] for length in lengths])
    return tables[0], tables[1], tables[2], mask


@given(batches(), st.sampled_from([0.0, 0.5, -0.25]))
def test_the_mask_is_that_of_a_plain_loop(batch, baseline: float) -> None:
    advantages, values, _, mask = batch
    kept = advantage_mask(advantages, values, mask, baseline)
    for row in range(len(mask)):
        for place in range(mask.shape[1]):
            good = float(advantages[row, place]) >= baseline
            value = float(values[row, place])
            speaks = value > baseline if good else value < baseline
            assert float(kept[row, place]) == float(speaks and bool(mask[row, place]))


def test_the_four_corners_of_the_mask() -> None:
    advantages, values = (
        torch.tensor([[1.0, 1.0, -1.0, -1.0, 0.0, 1.0]]),
        torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0, 0.0]]),
    )
    assert advantage_mask(advantages, values, torch.ones(1, 6)).tolist() == [[1, 0, 0, 1, 1, 0]]
    assert advantage_mask(advantages, values, torch.zeros(1, 6)).tolist() == [[0] * 6]


def test_the_mask_refuses_what_is_no_batch() -> None:
    ones = torch.ones(2, 3)
    with pytest.raises(UserError, match=r"values have shape \(2, 2\), the response mask \(2, 3\)"):
        advantage_mask(ones, torch.ones(2, 2), ones)
    with pytest.raises(UserError, match="values hold NaN"):
        advantage_mask(ones, ones * math.nan, ones)
    outside = torch.tensor([[1.0, math.nan]])
    assert advantage_mask(torch.ones(1, 2), outside, torch.tensor([[1, 0]])).tolist() == [[1, 0]]


@given(batches(), st.floats(0, 1), st.floats(0, 1))
def test_advantages_are_the_sum_of_discounted_errors(batch, discount: float, decay: float) -> None:
    """Equation 16 of the paper, its sum written out; the return is advantage plus value."""
    rewards, values, _, mask = (tensor.double() for tensor in batch)
    advantages, returns = advantages_and_returns(rewards, values, mask, discount, decay)
    for row in range(len(mask)):
        length = int(mask[row].sum())
        value = [*values[row, :length].tolist(), 0.0]
        errors = [float(rewards[row, t]) + discount * value[t + 1] - value[t] for t in range(length)]
        for place in range(mask.shape[1]):
            later = range(place, length)
            expected = sum((discount * decay) ** (t - place) * errors[t] for t in later)
            assert float(advantages[row, place]) == pytest.approx(expected, abs=1e-9)
            assert float(returns[row, place]) == pytest.approx((expected + value[place]) if later else 0.0, abs=1e-9)


def test_with_lambda_1_the_return_is_the_reward_to_come() -> None:
    rewards, values = torch.tensor([[0.0, 0.0, 3.0, 9.0]]), torch.tensor([[0.3, -2.0, 5.0, 7.0]])
    advantages, returns = advantages_and_returns(rewards, values, torch.tensor([[1, 1, 1, 0]]), 1.0, 1.0)
    torch.testing.assert_close(returns, torch.tensor([[3.0, 3.0, 3.0, 0.0]]))
    torch.testing.assert_close(advantages, torch.tensor([[2.7, 5.0, -2.0, 0.0]]))


def test_the_score_is_paid_at_the_last_token_and_distance_at_each() -> None:
    ratios, mask = (
        torch.tensor([[1.0, 2.0, 4.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]),
        torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0]]),
    )
    found = rewards_of_tokens(torch.tensor([10.0, -10.0, 5.0]), ratios, mask, 0.1)
    torch.testing.assert_close(found, torch.tensor([[-0.1, 9.8, 0.0], [-0.1, -0.1, -10.1], [0.0, 0.0, 0.0]]))


@given(batches())
def test_whitened_advantages_have_mean_0_and_variance_1(batch) -> None:
    values, _, _, mask = batch
    inside = values[mask.bool()]
    if not len(inside):
        return
    found = whitened(values, mask)
    assert not found[~mask.bool()].any()
    mean = float(inside.double().mean())
    deviation = math.sqrt(sum((float(value) - mean) ** 2 for value in inside) / len(inside) + 1e-8)
    expected = [(float(value) - mean) / deviation for value in inside]
    torch.testing.assert_close(found[mask.bool()], torch.tensor(expected), atol=2e-3, rtol=1e-3)


@given(batches(), st.integers(0, 4))
def test_parts_of_a_batch_are_whitened_as_the_whole(batch, cut: int) -> None:
    """As processes do it that share a batch: each has some of the rows, and sums go over all."""
    values, _, _, mask = (tensor.double() for tensor in batch)
    parts = [(values[:cut], mask[:cut]), (values[cut:], mask[cut:])]
    centred = values[mask.bool()] - values[mask.bool()].sum() / mask.sum().clamp(min=1)
    found = []
    for part in parts:
        sums = iter([mask.sum(), values[mask.bool()].sum(), (centred**2).sum()])
        found.append(whitened(*part, lambda _, of_all=sums: next(of_all)))
    torch.testing.assert_close(torch.cat(found), whitened(values, mask))


@given(batches(), st.floats(0.05, 1))
def test_the_value_loss_is_that_of_a_plain_loop(batch, clip: float) -> None:
    values, old, returns, mask = (tensor.double() for tensor in batch)
    losses = []
    for row, place in mask.nonzero().tolist():
        value, before, target = (float(one[row, place]) for one in (values, old, returns))
        near = min(max(value, before - clip), before + clip)
        losses.append(max((value - target) ** 2, (near - target) ** 2) / 2)
    expected = sum(losses) / len(losses) if losses else 0.0
    assert float(value_loss(values, old, returns, mask, clip)) == pytest.approx(expected, abs=1e-9)
