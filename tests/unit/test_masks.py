"""AMA masks: the worked readings of the figure, a plain loop, and properties."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trulysafe.common.errors import UserError
from trulysafe.methods.masks import keep_eos, kept_share, message_mask, training_mask, with_minimum_share
from trulysafe.methods.method import Method
from trulysafe.methods.parts import MASK_RULES, Mask

# rewards near the thresholds as well as far from them, and exactly on them
reward = st.one_of(st.sampled_from([0.0, 0.3, -0.3, 0.1, -0.1, 0.5, -0.5]), st.floats(-2, 2, width=32))


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows, tokens = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    table = [[draw(reward) for _ in range(tokens)] for _ in range(rows)]
    mask = [[draw(st.integers(0, 1)) for _ in range(tokens)] for _ in range(rows)]
    return torch.tensor(table), torch.tensor(mask), torch.tensor([draw(st.booleans()) for _ in range(rows)])


def plain_hysteresis(rewards: list[float], keep_positive: bool, width: float = 0.3) -> list[float]:
    """The rule token by token, written from its description; thresholds in single precision, as the rewards are."""
    threshold = torch.tensor(width).item()
    state, kept = (-1 if rewards and rewards[0] < 0 else 1), []
    for value in rewards:
        if value > threshold:
            state = 1
        elif value < -threshold:
            state = -1
        kept.append(float(state == (1 if keep_positive else -1)))
    return kept


def mask_of(rewards: list[float], chosen: bool, **options) -> list[float]:
    row = torch.tensor([rewards])
    return message_mask(row, torch.ones_like(row), torch.tensor([chosen]), **options)[0].tolist()


@pytest.mark.parametrize(
    ("start", "score", "state_after"),
    [(1, -0.2, 1), (1, -0.57, -1), (-1, 0.05, -1), (-1, 0.02, -1), (-1, 0.48, 1), (1, 0.17, 1)],
)
def test_readings_of_the_released_figure(start: int, score: float, state_after: int) -> None:
    rewards = [float(start), score]
    assert mask_of(rewards, chosen=True)[1] == float(state_after == 1)
    assert mask_of(rewards, chosen=False)[1] == float(state_after == -1)


def test_the_worked_example_as_one_sequence() -> None:
    rewards = [0.4, -0.2, -0.57, 0.05, 0.02, 0.48, 0.17]
    assert mask_of(rewards, chosen=True) == [1, 1, 0, 0, 0, 1, 1]
    assert mask_of(rewards, chosen=False) == [0, 0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(("first", "kept"), [(0.1, 1), (0.0, 1), (-0.1, 0), (0.3, 1), (-0.3, 0)])
def test_before_the_first_crossing_the_sign_of_the_first_token_counts(first: float, kept: int) -> None:
    """Also on the thresholds themselves, which are no crossing."""
    assert mask_of([first, -0.2, 0.2], chosen=True) == [kept] * 3


def test_tokens_before_the_response_do_not_set_the_state() -> None:
    rewards = torch.tensor([[-5.0, -5.0, 0.1, -0.1, 5.0]])
    response = torch.tensor([[0, 0, 1, 1, 0]])
    assert message_mask(rewards, response, torch.tensor([True])).tolist() == [[0, 0, 1, 1, 0]]


def plain_level(level: float, values: list[float], keep: bool) -> list[float]:
    return [float(value > level if keep else value < level) for value in values]


# rule: the same as a loop over (rewards of one response, mean over the batch, whether it is the chosen one)
PLAIN_RULES = {
    "threshold": lambda values, mean, keep: plain_level(0.0, values, keep),
    "batch_mean": lambda values, mean, keep: plain_level(mean, values, keep),
    "hysteresis": lambda values, mean, keep: plain_hysteresis(values, keep),
}


def test_every_rule_has_a_plain_loop_and_is_known_to_methods() -> None:
    assert set(PLAIN_RULES) == set(MASK_RULES)
    assert all(Method(mask=Mask(rule=rule)).mask.rule == rule for rule in (*MASK_RULES, "none"))


@pytest.mark.parametrize("rule", PLAIN_RULES)
@given(batch=batches())
def test_equals_plain_loops(rule: str, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    rewards, response, chosen = batch
    mean = rewards[response.bool()].mean().item() if response.any() else 0.0
    mask = message_mask(rewards, response, chosen, rule)
    for row in range(len(rewards)):
        places = response[row].nonzero().flatten().tolist()
        values = [rewards[row, place].item() for place in places]
        assert mask[row, places].tolist() == PLAIN_RULES[rule](values, mean, bool(chosen[row]))


@given(batches(), st.sampled_from(MASK_RULES))
def test_properties_of_every_rule(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], rule: str) -> None:
    rewards, response, chosen = batch
    mask = message_mask(rewards, response, chosen, rule)
    assert mask.shape == rewards.shape
    assert mask.dtype == rewards.dtype
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert not mask[response == 0].any()
    # a token is never kept on both sides
    other = message_mask(rewards, response, ~chosen, rule)
    assert not (mask * other).any()
    if rule == "hysteresis":  # every response token is in one of the two states
        assert torch.equal(mask + other, response.to(mask.dtype))
    # what lies outside the response has no say
    scrambled = torch.where(response.bool(), rewards, torch.full_like(rewards, -9.0))
    assert torch.equal(mask, message_mask(scrambled, response, chosen, rule))


@given(batches(), st.integers(1, 3), st.integers(0, 3))
def test_padding_and_batch_make_no_difference(batch: tuple[torch.Tensor, ...], left: int, right: int) -> None:
    rewards, response, chosen = batch
    for rule in ("threshold", "hysteresis"):
        mask = message_mask(rewards, response, chosen, rule)
        padded = message_mask(
            *(torch.nn.functional.pad(side, (left, right)) for side in (rewards, response)), chosen, rule
        )
        assert torch.equal(padded[:, left : left + mask.shape[1]], mask)
        alone = [
            message_mask(rewards[row : row + 1], response[row : row + 1], chosen[row : row + 1], rule)
            for row in range(len(mask))
        ]
        assert torch.equal(torch.cat(alone), mask)


@pytest.mark.parametrize("eos", ["keep", "rule", "drop"])
def test_a_response_of_which_the_rule_keeps_nothing_is_kept_whole_whatever_its_end(eos: str) -> None:
    rewards, response = torch.full((3, 9), 0.5), torch.tensor([[0] + [1] * 8] * 3)
    rewards[2, -1] = -0.5  # of the last row the rule keeps the end of turn, and nothing else
    chosen = torch.tensor([False, True, False])
    mask, fell_back = training_mask(rewards, response, chosen, Mask(rule="hysteresis", eos=eos))
    assert fell_back.tolist() == [True, False, eos != "rule"]
    assert mask[2].tolist() == (response[2].tolist() if eos != "rule" else [0.0] * 8 + [1.0])
    assert mask[0].tolist() == response[0].tolist()  # not the end of turn alone
    assert mask[1].tolist() == [*response[1].tolist()[:-1], float(eos != "drop")]


@pytest.mark.parametrize("tokens", [10, 11, 20])
@pytest.mark.parametrize("eos", ["keep", "drop"])
def test_a_tenth_of_what_the_rule_decided_on_is_enough(tokens: int, eos: str) -> None:
    """One of ten tokens and the end of turn is a tenth; one of eleven is not."""
    rewards, response = torch.full((1, tokens + 1), -0.5), torch.ones(1, tokens + 1)
    rewards[0, 0] = 0.5
    mask, fell_back = training_mask(rewards, response, torch.tensor([True]), Mask(rule="threshold", eos=eos))
    assert fell_back.tolist() == [tokens > 10]
    assert mask.sum() == (tokens + 1 if tokens > 10 else 1 + (eos == "keep"))


def test_batch_mean_is_over_both_sides_and_response_tokens_only() -> None:
    rewards = torch.tensor([[9.0, 1.0, 3.0], [9.0, 5.0, 7.0]])  # mean over the response tokens: 4
    response = torch.tensor([[0, 1, 1], [0, 1, 1]])
    assert message_mask(rewards, response, torch.tensor([False, True]), "batch_mean").tolist() == [[0, 1, 1], [0, 1, 1]]
    assert not message_mask(rewards, response, torch.tensor([True, False]), "batch_mean").any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_batch_mean_is_not_rounded_onto_a_reward(dtype: torch.dtype) -> None:
    rewards = torch.tensor([[1, 1, 1.0078125]], dtype=dtype)
    mask = message_mask(rewards, torch.ones(1, 3), torch.tensor([False]), "batch_mean")
    assert mask.dtype == dtype
    assert mask.tolist() == [[1, 1, 0]]


@pytest.mark.parametrize("rule", MASK_RULES)
def test_no_tokens_give_an_empty_mask(rule: str) -> None:
    empty, chosen = torch.ones(2, 0), torch.tensor([True, False])
    assert message_mask(empty, empty, chosen, rule).shape == (2, 0)
    mask, fell_back = training_mask(empty, empty, chosen, Mask(rule=rule))
    assert mask.shape == (2, 0)
    assert fell_back.tolist() == [False, False]


@pytest.mark.parametrize("rule", MASK_RULES)
@pytest.mark.parametrize(
    "options",
    [{"width": -0.1}, {"width": math.nan}, {"width": math.inf}, {"baseline": math.nan}, {"baseline": -math.inf}],
)
def test_levels_are_refused_whatever_the_rule(rule: str, options: dict) -> None:
    with pytest.raises(UserError, match=f"mask {next(iter(options))}: "):
        message_mask(torch.zeros(1, 3), torch.ones(1, 3), torch.tensor([True]), rule, **options)
    with pytest.raises(UserError, match=rf"mask\.{next(iter(options))}: "):
        Method(mask=Mask(rule=rule, **options))


def test_baseline_shifts_threshold_and_hysteresis_alike() -> None:
    rewards = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ones, chosen = torch.ones(4, 9), torch.tensor([True, False, True, False])
    for rule in ("threshold", "hysteresis"):
        shifted = message_mask(rewards + 2, ones, chosen, rule, baseline=2.0)
        assert torch.equal(shifted, message_mask(rewards, ones, chosen, rule))
    # without a dead band, hysteresis is the threshold rule (no reward is exactly 0 here)
    assert torch.equal(message_mask(rewards, ones, chosen, width=0.0), message_mask(rewards, ones, chosen, "threshold"))


def test_detached() -> None:
    rewards = torch.randn(2, 5, requires_grad=True)
    assert not message_mask(rewards, torch.ones(2, 5), torch.tensor([True, False])).requires_grad


def test_minimum_share_keeps_the_whole_response_and_says_so() -> None:
    response = torch.tensor([[1] * 10 + [0] * 2, [1] * 12, [0] * 12, [1] * 10 + [0] * 2])
    mask = torch.zeros(4, 12)
    mask[0, 3] = mask[1, 5] = 1  # shares 0.1 and 1/12
    kept, fell_back = with_minimum_share(mask, response, minimum=0.1)
    assert fell_back.tolist() == [False, True, False, True]  # no response, no fallback
    assert torch.equal(kept[0], mask[0])
    assert kept[1].all()
    assert not kept[2].any()
    assert torch.equal(kept[3], response[3].float())
    assert torch.equal(with_minimum_share(mask, response, minimum=0)[0], mask)


@given(batches())
def test_kept_share_counts(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    rewards, response, chosen = batch
    mask = message_mask(rewards, response, chosen)
    expected = [
        sum(kept) / sum(inside) if sum(inside) else 0.0
        for kept, inside in zip(mask.tolist(), response.tolist(), strict=True)
    ]
    assert kept_share(mask, response).tolist() == pytest.approx(expected)


def test_end_of_turn_options() -> None:
    response = torch.tensor([[0, 1, 1, 1, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    mask = torch.tensor([[0.0, 1, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    assert keep_eos(mask, response).tolist() == [[0, 1, 1, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert torch.equal(keep_eos(mask, response, "rule"), mask)
    assert keep_eos(mask, response, "drop").tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_bad_input() -> None:
    rewards, ones, chosen = torch.zeros(2, 3), torch.ones(2, 3), torch.tensor([True, False])
    with pytest.raises(UserError, match=r"'hysterisis'.*Did you mean 'hysteresis'"):
        message_mask(rewards, ones, chosen, "hysterisis")
    with pytest.raises(UserError, match=r"\[rows, tokens\]"):
        message_mask(rewards, torch.ones(2, 4), chosen)
    with pytest.raises(UserError, match=r"torch.int64.*floating dtype"):
        message_mask(rewards.long(), ones, chosen)
    with pytest.raises(UserError, match="one boolean per row"):
        message_mask(rewards, ones, torch.tensor([True]))
    with pytest.raises(UserError, match="row 1 holds NaN"):
        message_mask(torch.tensor([[0.0, 0, 0], [0, float("nan"), 0]]), ones, chosen)
    with pytest.raises(UserError, match=r"\[0, 1\]"):
        with_minimum_share(ones, ones, 1.5)
    with pytest.raises(UserError, match="keep, rule, drop"):
        keep_eos(ones, ones, "kept")
    # a NaN outside the response is padding, not a fault
    message_mask(torch.tensor([[float("nan"), 1.0]]), torch.tensor([[0, 1]]), torch.tensor([True]))
