"""The losses against closed forms, plain Python, finite differences, and their known optimum."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from trulysafe.methods.confidence import label_confidence
from trulysafe.methods.losses import (
    BATCH_LOSSES,
    PAIR_LOSSES,
    RESPONSE_LOSSES,
    confidence_dpo_loss,
    dpo_margin,
    response_loss,
    sft_loss,
)
from trulysafe.reward.model import reward_margin_loss

real = st.floats(-8, 8)


def log_probabilities(count: int = 6, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [-20 * torch.rand(count, generator=generator, dtype=torch.float64) for _ in range(4)]


def test_confidence_one_is_dpo() -> None:
    margin = dpo_margin(*log_probabilities())
    assert torch.equal(confidence_dpo_loss(margin, 1.0, 0.15), -F.logsigmoid(0.15 * margin))
    assert torch.equal(confidence_dpo_loss(margin, torch.ones(6), 0.15), -F.logsigmoid(0.15 * margin))


def test_fixed_confidence_is_dpo_with_smoothed_labels() -> None:
    """cDPO: cross-entropy of sigmoid(beta h) with the target gamma, as torch computes it."""
    margin = dpo_margin(*log_probabilities())
    expected = F.binary_cross_entropy_with_logits(0.3 * margin, torch.full_like(margin, 0.9), reduction="none")
    torch.testing.assert_close(confidence_dpo_loss(margin, 0.9, 0.3), expected)


def test_starts_at_ln_2_whatever_the_confidence() -> None:
    chosen, rejected, *_ = log_probabilities()
    margin = dpo_margin(chosen, rejected, chosen, rejected)
    torch.testing.assert_close(
        confidence_dpo_loss(margin, torch.linspace(0, 1, 6), 0.1), torch.full_like(margin, math.log(2))
    )


@given(st.lists(st.tuples(real, real, real, real, st.floats(0, 1)), min_size=1, max_size=8), st.floats(0.01, 2))
def test_equals_a_plain_loop_written_from_the_formula(rows: list[tuple[float, ...]], beta: float) -> None:
    expected = []
    for policy_chosen, policy_rejected, ref_chosen, ref_rejected, gamma in rows:
        h = (policy_chosen - policy_rejected) - (ref_chosen - ref_rejected)
        positive, negative = math.log(1 / (1 + math.exp(-beta * h))), math.log(1 / (1 + math.exp(beta * h)))
        expected.append(-gamma * positive - (1 - gamma) * negative)
    *log_probs, gammas = torch.tensor(rows, dtype=torch.float64).T
    loss = confidence_dpo_loss(dpo_margin(*log_probs), gammas, beta)
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=1e-9)


@given(st.lists(st.tuples(real, real), min_size=1, max_size=6), st.floats(0.02, 2))
def test_the_optimum_lies_at_alpha_times_the_difference_of_scores(
    rewards: list[tuple[float, float]], beta: float
) -> None:
    """Where not floored, beta h* = alpha (s_c - s_r)."""
    chosen, rejected = torch.tensor(rewards, dtype=torch.float64).T
    gamma = label_confidence(chosen, rejected, alpha=3.0, floor=0.0)
    expected = 3.0 * float((torch.sigmoid(chosen) - torch.sigmoid(rejected)).mean())
    found = minimize_scalar(
        lambda h: float(confidence_dpo_loss(torch.tensor([h], dtype=torch.float64), gamma, beta)),
        bracket=(-1 / beta, 1 / beta),
        tol=1e-9,
    )
    assert beta * found.x == pytest.approx(expected, abs=1e-4)


def test_the_optimum_is_at_zero_where_floored() -> None:
    gamma = label_confidence(torch.tensor([-1.0]), torch.tensor([2.0]))
    found = minimize_scalar(lambda h: float(confidence_dpo_loss(torch.tensor([h], dtype=torch.float64), gamma, 0.15)))
    assert found.x == pytest.approx(0, abs=1e-3)


def test_floor_0_per_pair_is_the_swapped_pair() -> None:
    policy_chosen, policy_rejected, ref_chosen, ref_rejected = log_probabilities()
    reward_chosen, reward_rejected = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    as_given = confidence_dpo_loss(
        dpo_margin(policy_chosen, policy_rejected, ref_chosen, ref_rejected),
        label_confidence(reward_chosen, reward_rejected, floor=0, per_pair=True),
        0.15,
    )
    swapped = confidence_dpo_loss(
        dpo_margin(policy_rejected, policy_chosen, ref_rejected, ref_chosen),
        label_confidence(reward_rejected, reward_chosen, floor=0, per_pair=True),
        0.15,
    )
    torch.testing.assert_close(as_given, swapped)


def test_gradients_by_finite_differences() -> None:
    inputs = [tensor.requires_grad_() for tensor in log_probabilities(4)]
    gamma = torch.tensor([0.0, 0.5, 0.7, 1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *x: confidence_dpo_loss(dpo_margin(*x), gamma, 0.15), inputs)
    assert torch.autograd.gradcheck(lambda a, b: reward_margin_loss(a, b, 1.0), inputs[:2])


def test_gradient_has_the_closed_form() -> None:
    margin = torch.linspace(-5, 5, 11, dtype=torch.float64, requires_grad=True)
    confidence_dpo_loss(margin, 0.8, 0.5).sum().backward()
    torch.testing.assert_close(margin.grad, 0.5 * (torch.sigmoid(0.5 * margin.detach()) - 0.8))


def test_stays_finite_at_extreme_margins() -> None:
    loss = confidence_dpo_loss(torch.tensor([-1e6, 1e6]), torch.tensor([1.0, 1.0]), 1.0)
    torch.testing.assert_close(loss, torch.tensor([1e6, 0.0]))


@pytest.mark.parametrize("name", sorted(RESPONSE_LOSSES))
def test_losses_of_responses_and_their_gradients_stay_finite_at_certain_labels(name: str) -> None:
    chosen, rejected = (
        torch.tensor([500.0, -500.0], requires_grad=True),
        torch.tensor([-500.0, 500.0], requires_grad=True),
    )
    loss = response_loss(name, chosen, rejected, 1.0, 0.1)
    assert loss.isfinite().all()
    loss.sum().backward()
    assert chosen.grad is not None
    assert chosen.grad.isfinite().all()
    if name == "discopop":
        assert loss[0].item() == pytest.approx(0, abs=1e-6)


def test_reward_loss_asks_for_the_margin() -> None:
    assert reward_margin_loss(torch.tensor(1.0), torch.tensor(0.0)).item() == pytest.approx(math.log(2))
    assert reward_margin_loss(torch.tensor(0.0), torch.tensor(0.0), 0.0).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", RESPONSE_LOSSES)
def test_no_confidence_is_the_swapped_pair_and_half_has_no_preference(name: str) -> None:
    chosen, rejected, *_ = log_probabilities()
    whole = response_loss(name, chosen, rejected, 1.0, 0.3)
    torch.testing.assert_close(whole, RESPONSE_LOSSES[name](chosen, rejected, 0.3))
    torch.testing.assert_close(response_loss(name, rejected, chosen, 0.0, 0.3), whole)
    assert not torch.allclose(response_loss(name, rejected, chosen, 1.0, 0.3), whole)
    half = torch.full_like(chosen, 0.5)
    torch.testing.assert_close(
        response_loss(name, chosen, rejected, half, 0.3), response_loss(name, rejected, chosen, half, 0.3)
    )


def test_robust_dpo_is_dpo_on_average_over_wrong_labels() -> None:
    """Chowdhury et al.: with labels wrong with probability 1 - gamma the expected loss is that of clean labels."""
    margin = dpo_margin(*log_probabilities())
    noisy = 0.8 * PAIR_LOSSES["robust"](margin, 0.8, 0.3) + 0.2 * PAIR_LOSSES["robust"](-margin, 0.8, 0.3)
    torch.testing.assert_close(noisy, confidence_dpo_loss(margin, 1.0, 0.3))


@pytest.mark.parametrize("name", BATCH_LOSSES)
def test_losses_of_a_sorted_batch_compare_quantiles_and_keep_the_rows_in_place(name: str) -> None:
    """Against the plain formula on sorted tensors: the same mean and gradients, and each row's loss at the row
    itself."""
    inputs = [tensor.requires_grad_() for tensor in log_probabilities()]
    chosen, rejected, ref_chosen, ref_rejected = inputs
    found = BATCH_LOSSES[name]((chosen, rejected), (ref_chosen, ref_rejected), 0.3)
    above, below = (
        (chosen - rejected, ref_chosen - ref_rejected)
        if name == "aot"
        else (chosen - ref_chosen, rejected - ref_rejected)
    )
    gap = above.sort().values - below.sort().values
    expected = -F.logsigmoid(0.3 * gap)
    torch.testing.assert_close(found[above.argsort()], expected)
    ours, theirs = (torch.autograd.grad(loss.mean(), inputs, retain_graph=True) for loss in (found, expected))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_exo_is_the_divergence_of_two_preferences() -> None:
    margin = dpo_margin(*log_probabilities())
    ours = torch.stack([torch.sigmoid(0.3 * margin), torch.sigmoid(-0.3 * margin)])
    label = torch.tensor([[0.9], [0.1]], dtype=torch.float64)
    torch.testing.assert_close(PAIR_LOSSES["exo_pair"](margin, 0.9, 0.3), (ours * (ours / label).log()).sum(dim=0))
    assert torch.isfinite(PAIR_LOSSES["exo_pair"](margin, 1.0, 0.3)).all()


def test_supervised_loss_is_the_mean_over_kept_tokens() -> None:
    tokens = torch.tensor([3.0, 5.0, 1.0])
    sums = torch.tensor([-6.0, -5.0, -4.0])
    assert sft_loss(sums, float(tokens.mean())).mean().item() == pytest.approx(15 / 9)
