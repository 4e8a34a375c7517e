"""Limits over training seeds: Student's where seeds differ, none where they do not."""

import numpy as np
import pytest
from scipy import stats

from trulysafe.errors import UserError
from trulysafe.seed_interval import seed_interval


def test_limits_are_those_of_the_one_sample_t_test():
    values = [0.2, 0.35, 0.31, 0.9]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = seed_interval(values, level=0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.value, found.n, found.stderr) == pytest.approx((np.mean(values), 4, stats.sem(values)))


def test_limits_stay_within_what_the_number_can_be():
    found = seed_interval([0.0, 1.0], 0.0, 1.0)  # two seeds, not two answers
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [0.0] * 5, [0.7]])
def test_equal_seeds_and_a_single_one_have_no_limits(values):
    found = seed_interval(values, 0.0, 1.0)
    assert found.value == pytest.approx(values[0])
    assert np.isnan([found.low, found.high, found.stderr]).all()


@pytest.mark.parametrize("values", [[], [0.5, np.nan]])
def test_every_seed_needs_a_number(values):
    with pytest.raises(UserError, match="one finite number per seed"):
        seed_interval(values)
