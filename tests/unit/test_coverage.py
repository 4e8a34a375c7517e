"""Simulated: do the tables' intervals hold the truth, and do their tests leave a true null alone, for the numbers of
seeds, families and prompts that configurations have?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from trulysafe.stats.comparisons import paired_difference
from trulysafe.stats.intervals import interval

pytestmark = pytest.mark.slow
RUNS = 200
SHAPES = {  # seeds, families, prompts per family
    "safety, laptop": (3, 40, 3),
    "look-alikes, laptop": (3, 12, 10),
    "safety, one GPU": (5, 60, 7),
    "the demo": (5, 12, 8),
    "tasks, whose prompts are families": (3, 100, 1),
}
FAMILY, PROMPT, SEED, SEED_IN_FAMILY = 0.6, 0.8, 0.3, 0.2
"""Standard deviations of effects on the log-odds of an outcome."""


@pytest.mark.parametrize("log_odds", [0.0, 2.0])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_intervals_hold_the_truth_and_tests_leave_a_null_alone(shape: tuple[int, int, int], log_odds: float) -> None:
    rng = np.random.default_rng(0)
    seeds, families = (grid.ravel() for grid in np.indices(shape)[:2])
    everything = np.hypot(np.hypot(FAMILY, PROMPT), np.hypot(SEED, SEED_IN_FAMILY))
    truth = _share(log_odds + rng.normal(0, everything, 1_000_000)).mean()
    held = rejected = 0
    for _ in range(RUNS):
        prompts = rng.normal(0, FAMILY, (1, shape[1], 1)) + rng.normal(0, PROMPT, (1, *shape[1:]))
        arm, other = (_answers(rng, shape, log_odds + prompts) for _ in range(2))
        found = interval(arm, seeds, families)
        held += found.low <= truth <= found.high
        rejected += paired_difference(arm, other, seeds, families).p_value < 0.05
    assert binomtest(held, RUNS, 0.93, alternative="less").pvalue > 0.001, held / RUNS
    assert binomtest(rejected, RUNS, 0.06, alternative="greater").pvalue > 0.001, rejected / RUNS


def _answers(rng: np.random.Generator, shape: tuple[int, int, int], log_odds: np.ndarray) -> np.ndarray:
    """0/1 answers of one arm; its seeds differ from the other arm's."""
    seeds, families, _ = shape
    effects = rng.normal(0, SEED, (seeds, 1, 1)) + rng.normal(0, SEED_IN_FAMILY, (seeds, families, 1))
    return (rng.random(shape) < _share(log_odds + effects)).astype(float).ravel()


def _share(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))
