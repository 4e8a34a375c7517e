"""Controls know the amounts and nothing of the text, and depend on the seed and the row alone."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trulysafe.common.errors import UserError
from trulysafe.methods.controls import random_control, row_generators, shuffled_control, shuffled_rewards
from trulysafe.methods.masks import hysteresis_state, keep_eos, message_mask, with_minimum_share
from trulysafe.methods.method import Method


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, attention, response mask (one run of tokens at the end) and rewards, padded on the right."""
    rows, width = draw(st.integers(1, 4)), draw(st.integers(2, 14))
    ids, attention, response = (torch.zeros(rows, width, dtype=torch.long) for _ in range(3))
    for row in range(rows):
        length = draw(st.integers(1, width))
        start = draw(st.integers(0, length - 1))
        attention[row, :length], response[row, start:length] = 1, 1
        ids[row, :length] = torch.tensor(draw(st.lists(st.integers(1, 99), min_size=length, max_size=length)))
    values = draw(st.lists(st.floats(-2, 2, width=32), min_size=rows * width, max_size=rows * width))
    return ids, attention, response, torch.tensor(values).reshape(rows, width)


def masked(response: torch.Tensor, rewards: torch.Tensor, eos: str) -> torch.Tensor:
    mask = message_mask(rewards, response, torch.ones(len(rewards), dtype=torch.bool))
    return with_minimum_share(keep_eos(mask, response, eos), response, 0.1)[0]


@given(batches(), st.integers(0, 9), st.sampled_from(["keep", "rule", "drop"]))
def test_random_control_keeps_as_many_and_the_end_of_turn_as_it_was(batch, seed, eos):
    ids, attention, response, rewards = batch
    mask = masked(response, rewards, eos)
    control = random_control(mask, response, row_generators(seed, ids, attention), eos)
    assert torch.equal(control.sum(dim=1), mask.sum(dim=1))
    assert not control[response == 0].any()
    assert control.dtype == mask.dtype
    if eos != "rule":
        ends = [row.nonzero().max().item() for row in response]
        assert [control[i, end].item() for i, end in enumerate(ends)] == [mask[i, e].item() for i, e in enumerate(ends)]


@given(batches(), st.integers(0, 9), st.integers(0, 4))
def test_controls_depend_on_seed_and_row_alone(batch, seed, padding):
    ids, attention, response, rewards = batch
    mask = masked(response, rewards, "keep")
    whole = random_control(mask, response, row_generators(seed, ids, attention))
    moved = shuffled_control(rewards, response, row_generators(seed, ids, attention))
    for row in range(len(ids)):
        one = [torch.nn.functional.pad(part[row : row + 1], (0, padding)) for part in (ids, attention, response)]
        draws = row_generators(seed, one[0], one[1])
        alone = random_control(torch.nn.functional.pad(mask[row : row + 1], (0, padding)), one[2], draws)
        assert torch.equal(alone[0, : ids.shape[1]], whole[row])
        draws = row_generators(seed, one[0], one[1])
        alone = shuffled_control(torch.nn.functional.pad(rewards[row : row + 1], (0, padding)), one[2], draws)
        assert torch.equal(alone[0, : ids.shape[1]], moved[row])


@given(batches(), st.integers(0, 9))
def test_shuffled_control_keeps_rewards_and_leaves_the_rest(batch, seed):
    ids, attention, response, rewards = batch
    moved = shuffled_control(rewards, response, row_generators(seed, ids, attention))
    inside = response.bool()
    assert torch.equal(moved[~inside], rewards[~inside])
    for row in range(len(ids)):
        assert Counter(moved[row, inside[row]].tolist()) == Counter(rewards[row, inside[row]].tolist())


@st.composite
def scattered(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, list[torch.Generator]]:
    """Rewards and a response mask with gaps, or of no response at all, with a generator per row."""
    rows, width = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    reward = st.one_of(st.sampled_from([0.0, 0.3, -0.3, 0.1, -0.1, 0.5, -0.5]), st.floats(-2, 2, width=32))
    rewards, response = (
        torch.tensor([[draw(item) for _ in range(width)] for _ in range(rows)]) for item in (reward, st.integers(0, 1))
    )
    return rewards, response, [torch.Generator().manual_seed(draw(st.integers(0, 99))) for _ in range(rows)]


@given(scattered())
def test_random_control_keeps_as_many_inside_the_response(drawn):
    rewards, response, generators = drawn
    again = [generator.clone_state() for generator in generators]
    mask = message_mask(rewards, response, torch.ones(len(rewards), dtype=torch.bool))
    control = random_control(mask, response, generators, "rule")
    assert torch.equal(control.sum(dim=1), mask.sum(dim=1))
    assert not control[response == 0].any()
    assert control.dtype == mask.dtype
    assert torch.equal(control, random_control(mask, response, again, "rule"))


def test_random_control_is_uniform():
    mask = torch.tensor([[1.0, 0, 0, 0, 0, 0]])
    response, generators = torch.tensor([[1, 1, 1, 1, 0, 0]]), [torch.Generator().manual_seed(0)]
    counts = sum(random_control(mask, response, generators, "rule") for _ in range(4000))[0] / 4000
    assert counts.tolist() == pytest.approx([0.25, 0.25, 0.25, 0.25, 0, 0], abs=0.03)


@given(scattered())
def test_shuffled_control_permutes_whole_segments(drawn):
    rewards, response, generators = drawn
    shuffled = shuffled_control(rewards, response, generators)
    state = hysteresis_state(rewards, response)
    for row in range(len(rewards)):
        inside = response[row].bool()
        assert torch.equal(shuffled[row][~inside], rewards[row][~inside])
        before, after = rewards[row][inside].tolist(), shuffled[row][inside].tolist()
        assert Counter(before) == Counter(after)
        lengths = state[row][inside].unique_consecutive(return_counts=True)[1].tolist()
        segments, rest = [tuple(piece.tolist()) for piece in rewards[row][inside].split(lengths)], list(after)
        assert can_be_cut_into(rest, Counter(segments))


def can_be_cut_into(values: list[float], segments: Counter) -> bool:
    if not values:
        return not +segments
    return any(
        tuple(values[: len(segment)]) == segment
        and can_be_cut_into(values[len(segment) :], segments - Counter([segment]))
        for segment in +segments
        if segment
    )


def test_shuffled_control_moves_segments():
    rewards = torch.tensor([[1.0, 1, 1, -1, -1, 1, -1, -1, -1, 1]])
    generators = [torch.Generator().manual_seed(0)]
    drawn = {tuple(shuffled_control(rewards, torch.ones_like(rewards), generators)[0].tolist()) for _ in range(50)}
    assert len(drawn) > 5


def test_another_seed_gives_another_control():
    ids, ones = torch.arange(40)[None] + 1, torch.ones(1, 40)
    mask = (torch.arange(40) < 20).float()[None]
    drawn = {tuple(random_control(mask, ones, row_generators(seed, ids, ones))[0].tolist()) for seed in range(5)}
    assert len(drawn) == 5
    rewards = torch.tensor([1.0, 1, -1, -1, -1, 1, -1, 1, 1, 1] * 4)[None]
    assert len(hysteresis_state(rewards, ones)[0].unique_consecutive()) > 10
    drawn = {tuple(shuffled_control(rewards, ones, row_generators(seed, ids, ones))[0].tolist()) for seed in range(5)}
    assert len(drawn) == 5


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=9), st.integers(0, 9))
def test_shuffled_rewards_keep_the_values(pairs, seed):
    chosen, rejected = torch.tensor(pairs, dtype=torch.float64).T

    def shuffle(how):
        return shuffled_rewards(chosen, rejected, how, torch.Generator().manual_seed(seed))

    assert all(torch.equal(a, b) for a, b in zip(shuffle("none"), (chosen, rejected), strict=True))
    of_pairs = torch.stack(shuffle("pairs"), dim=1)
    assert Counter(map(tuple, of_pairs.tolist())) == Counter(map(tuple, torch.stack([chosen, rejected], 1).tolist()))
    everywhere = torch.cat(shuffle("responses"))
    assert Counter(everywhere.tolist()) == Counter(torch.cat([chosen, rejected]).tolist())


def test_shuffling_over_responses_leaves_nothing_of_the_order():
    chosen, rejected = torch.full((500,), 1.0), torch.full((500,), -1.0)
    first, second = shuffled_rewards(chosen, rejected, "responses", torch.Generator().manual_seed(0))
    assert float((first - second).mean()) == pytest.approx(0, abs=0.2)


def test_bad_input():
    draw = torch.Generator()
    with pytest.raises(UserError, match=r"confidence\.shuffle: 'pair' is not accepted\. Did you mean 'pairs'"):
        Method(confidence={"kind": "label", "per_pair": True, "shuffle": "pair"})
    with pytest.raises(UserError, match=r"\[pairs\]"):
        shuffled_rewards(torch.zeros(2), torch.zeros(3), "pairs", draw)
