"""Answers with effects of seed, family and prompt, for tests of intervals and comparisons."""

from __future__ import annotations

import numpy as np

SHAPE = (5, 12, 8)
"""Seeds, families, prompts per family of the simulations."""
SEEDS, FAMILIES = (grid.ravel() for grid in np.indices(SHAPE)[:2])


def answers(
    rng: np.random.Generator,
    base: float = 1.2,
    shared: np.ndarray | None = None,
    spread: float = 0.6,
    shape: tuple[int, int, int] = SHAPE,
) -> np.ndarray:
    """0/1 answers [seeds, families, prompts] whose log-odds vary with seed, family and prompt."""
    seeds, families, _ = shape
    logit = base + rng.normal(0, spread, (seeds, 1, 1)) + rng.normal(0, 0.2, (seeds, families, 1))
    logit = logit + (shared if shared is not None else prompt_effects(rng, shape))
    return (rng.random(shape) < 1 / (1 + np.exp(-logit))).astype(float)


def prompt_effects(rng: np.random.Generator, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """What a family and a prompt add to the log-odds, the same for all seeds and arms."""
    return rng.normal(0, 0.6, (1, shape[1], 1)) + rng.normal(0, 0.8, (1, *shape[1:]))


def true_share(rng: np.random.Generator, base: float, spread: float) -> float:
    """Mean answer over all seeds, families and prompts that there could be."""
    logit = base + rng.normal(0, np.sqrt(spread**2 + 0.2**2 + 0.6**2 + 0.8**2), 1_000_000)
    return float((1 / (1 + np.exp(-logit))).mean())
