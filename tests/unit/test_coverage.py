"""Simulated: do the tables' intervals hold the truth, and do their tests leave a true null alone, for the numbers of
seeds, families and prompts that configurations have?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from tests.unit.simulated_answers import answers, prompt_effects, true_share
from trulysafe.stats.comparisons import paired_difference
from trulysafe.stats.intervals import interval

pytestmark = pytest.mark.slow
RUNS, SPREAD = 200, 0.3
SHAPES = {  # seeds, families, prompts per family
    "safety, laptop": (3, 40, 3),
    "look-alikes, laptop": (3, 12, 10),
    "safety, one GPU": (5, 60, 7),
    "safety, the demo": (5, 30, 20),
    "look-alikes, the demo": (5, 10, 20),
    "tasks, whose prompts are families": (3, 100, 1),
}


def simulated(shape: tuple[int, int, int], base: float, spread: float) -> tuple[int, int]:
    """How many of the runs have an interval that holds the truth, and how many reject a true null."""
    rng = np.random.default_rng(0)
    seeds, families = (grid.ravel() for grid in np.indices(shape)[:2])
    truth = true_share(rng, base, spread)
    held = rejected = 0
    for _ in range(RUNS):
        shared = prompt_effects(rng, shape)
        arm, other = (answers(rng, base, shared, spread, shape).ravel() for _ in range(2))
        found = interval(arm, seeds, families)
        held += found.low <= truth <= found.high
        rejected += paired_difference(arm, other, seeds, families).p_value < 0.05
    return held, rejected


@pytest.mark.parametrize("base", [0.0, 2.0])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_intervals_hold_the_truth_and_tests_leave_a_null_alone(shape: tuple[int, int, int], base: float) -> None:
    held, rejected = simulated(shape, base, SPREAD)
    assert binomtest(held, RUNS, 0.93, alternative="less").pvalue > 0.001, held / RUNS
    assert binomtest(rejected, RUNS, 0.06, alternative="greater").pvalue > 0.001, rejected / RUNS


@pytest.mark.parametrize(
    ("shape", "spread", "level"),
    [((2, 40, 3), 0.3, 0.11), ((3, 40, 3), 1.0, 0.08), ((5, 60, 7), 1.0, 0.08)],
    ids=["two seeds", "three far apart", "five far apart"],
)
def test_what_the_table_of_contrasts_says_of_two_seeds_and_of_seeds_far_apart(
    shape, spread: float, level: float
) -> None:
    held, rejected = simulated(shape, 0.0, spread)
    assert binomtest(held, RUNS, 0.91, alternative="less").pvalue > 0.001, held / RUNS
    assert binomtest(rejected, RUNS, level, alternative="greater").pvalue > 0.001, rejected / RUNS
