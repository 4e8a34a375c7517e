"""Label confidence: the formula, its floor, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trulysafe.common.errors import UserError
from trulysafe.methods.confidence import label_confidence
from trulysafe.methods.method import Method
from trulysafe.methods.parts import Confidence

rewards = st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=1, max_size=8)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@given(rewards, st.floats(0.5, 20), st.floats(0, 1))
def test_equals_the_formula_in_plain_python(pairs: list[tuple[float, float]], alpha: float, floor: float) -> None:
    chosen, rejected = torch.tensor(pairs, dtype=torch.float64).T
    s_c = sum(sigmoid(c) for c, _ in pairs) / len(pairs) - 0.5
    s_r = sum(sigmoid(r) for _, r in pairs) / len(pairs) - 0.5
    batch = label_confidence(chosen, rejected, alpha, floor)
    assert batch.dim() == 0
    assert float(batch) == pytest.approx(max(sigmoid(alpha * (s_c - s_r)), floor), abs=1e-12)
    each = label_confidence(chosen, rejected, alpha, floor, per_pair=True)
    assert each.tolist() == pytest.approx(
        [max(sigmoid(alpha * (sigmoid(c) - sigmoid(r))), floor) for c, r in pairs], abs=1e-12
    )


def test_values_of_the_papers_settings() -> None:
    assert float(label_confidence(torch.tensor([50.0]), torch.tensor([-50.0]))) == pytest.approx(sigmoid(7.5))
    assert float(label_confidence(torch.tensor([-50.0]), torch.tensor([50.0]))) == 0.5
    assert float(label_confidence(torch.tensor([2.0]), torch.tensor([2.0]))) == 0.5


def test_per_pair_does_not_depend_on_the_batch_but_the_batch_number_does() -> None:
    chosen, rejected = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    whole = label_confidence(chosen, rejected, per_pair=True)
    halves = [label_confidence(chosen[part], rejected[part], per_pair=True) for part in (slice(0, 2), slice(2, 6))]
    assert torch.equal(whole, torch.cat(halves))
    assert label_confidence(chosen[:2], rejected[:2], floor=0) != label_confidence(chosen[2:], rejected[2:], floor=0)


def test_swapped_pairs_give_the_complement_without_a_floor() -> None:
    chosen, rejected = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    for per_pair in (False, True):
        there = label_confidence(chosen, rejected, floor=0, per_pair=per_pair)
        back = label_confidence(rejected, chosen, floor=0, per_pair=per_pair)
        torch.testing.assert_close(there + back, torch.ones_like(there))


def test_detached_and_at_least_single_precision() -> None:
    chosen = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
    gamma = label_confidence(chosen, torch.zeros(2, dtype=torch.bfloat16), per_pair=True)
    assert not gamma.requires_grad
    assert gamma.dtype == torch.float32


def test_bad_input() -> None:
    good = torch.zeros(3)
    for bad in (torch.zeros(2), torch.zeros(3, 1), torch.zeros(0)):
        with pytest.raises(UserError, match="shape"):
            label_confidence(bad, good if bad.numel() else bad)
    for value in (float("nan"), float("inf")):
        with pytest.raises(UserError, match="NaN or infinite"):
            label_confidence(good, torch.tensor([0.0, value, 0.0]))
    for alpha in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(UserError, match="alpha must be above 0 and finite"):
            label_confidence(good, good, alpha)
        with pytest.raises(UserError, match=r"confidence\.alpha"):
            Method(confidence=Confidence(alpha=alpha))
    for floor in (-0.1, 1.1, math.nan):
        with pytest.raises(UserError, match=r"floor in \[0, 1\]"):
            label_confidence(good, good, floor=floor)
