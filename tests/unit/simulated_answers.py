"""Answers with effects of seed, family and prompt, for tests of intervals and comparisons."""

from __future__ import annotations

import numpy as np

SHAPE = (5, 12, 8)
"""Seeds, families, prompts per family of the simulations."""
SEEDS, FAMILIES = (grid.ravel() for grid in np.indices(SHAPE)[:2])


def answers(
    rng: np.random.Generator, base: float = 1.2, shared: np.ndarray | None = None, spread: float = 0.6
) -> np.ndarray:
    """0/1 answers [seeds, families, prompts] whose log-odds vary with seed, family and prompt."""
    seeds, families, _ = SHAPE
    logit = base + rng.normal(0, spread, (seeds, 1, 1)) + rng.normal(0, 0.2, (seeds, families, 1))
    logit = logit + (shared if shared is not None else prompt_effects(rng))
    return (rng.random(SHAPE) < 1 / (1 + np.exp(-logit))).astype(float)


def prompt_effects(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 0.6, (1, SHAPE[1], 1)) + rng.normal(0, 0.8, (1, *SHAPE[1:]))
