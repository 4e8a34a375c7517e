"""The crossed bootstrap: variance of a statistic whose answers are clustered by training seed and by prompt family.

Seeds are drawn with replacement, families are drawn with replacement, and an answer counts with the product of both
weights (Owen 2007). :mod:`trulysafe.stats` turns the variance into intervals and tests, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trulysafe.common.errors import UserError
from trulysafe.common.ids import stable_seed

MOST_CLUSTERS = 1000
"""More families than this are put together, whole, into this many groups: valid, since families are independent."""

Array = NDArray[np.float64]
Statistic = Callable[[Sequence[Array]], Array]
"""Maps weights per axis (seeds, families, ...), each of shape [draws or 1, clusters], to values of shape [draws]."""


@dataclass(frozen=True)
class Cells:
    """Sums of outcomes and counts of answers per seed and family, both of shape [seeds, families]."""

    sums: Array
    counts: Array

    @property
    def mean(self) -> float:
        """Mean over all answers, each with equal weight."""
        return float(self.sums.sum() / self.counts.sum())

    @property
    def n(self) -> int:
        """Number of answers."""
        return int(self.counts.sum())

    @property
    def filled(self) -> int:
        """Number of (seed, family) cells that hold an answer."""
        return int((self.counts > 0).sum())


def crossed_variance(statistic: Statistic, sizes: tuple[int, ...], resamples: int, seed: int) -> tuple[float, float]:
    """Variance and degrees of freedom of a statistic over axes of ``sizes`` clusters: seeds first, then families."""
    seeds, families = sizes[0], min(sizes[1:])
    fixed = [np.ones((1, size)) for size in sizes]
    drawn = [_draws(size, resamples, stable_seed("bootstrap", seed, axis)) for axis, size in enumerate(sizes)]
    by_seed = _spread(statistic([drawn[0], *fixed[1:]])) if seeds > 1 else 0.0
    by_family = _spread(statistic([fixed[0], *drawn[1:]])) if families > 1 else 0.0
    scale_seed, scale_family = seeds / max(seeds - 1, 1), families / max(families - 1, 1)
    parts = by_seed * scale_seed, by_family * scale_family
    if seeds == 1 or families == 1:
        variance = sum(parts)
    else:
        by_cell = max(_spread(statistic(drawn)) - by_seed - by_family, 0.0) * scale_seed * scale_family
        variance = max(sum(parts) - by_cell, *parts)
    noise = parts[0] ** 2 / max(seeds - 1, 1) + parts[1] ** 2 / max(families - 1, 1)
    return variance, max(variance**2 / noise, 1.0) if noise > 0 else np.inf


@lru_cache(maxsize=8)
def _draws(clusters: int, resamples: int, seed: int) -> Array:
    """How often each cluster is drawn, shape [resamples, clusters]; whole numbers, so that sums of 0/1 are exact."""
    drawn = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)
    return drawn.astype(float)


def _spread(values: Array) -> float:
    """Variance over draws; a draw that holds no answer at all is left out. Rounding noise counts as none."""
    variance = float(values.var())
    if np.isnan(variance):
        variance = float(np.nanvar(values))
    return variance if variance > 1e-24 else 0.0


def folded(cells: Cells) -> Cells:
    """Put families together where there are more than :data:`MOST_CLUSTERS`."""
    if cells.counts.shape[1] <= MOST_CLUSTERS:
        return cells
    group = np.arange(cells.counts.shape[1]) % MOST_CLUSTERS
    sums, counts = (np.stack([np.bincount(group, weights=row) for row in grid]) for grid in (cells.sums, cells.counts))
    return Cells(sums.astype(float), counts.astype(float))


def plain(statistic: Statistic, sizes: tuple[int, ...]) -> float:
    """Value of a statistic on the data as they are."""
    return float(statistic([np.ones((1, size)) for size in sizes])[0])


def mean_of(cells: Cells) -> Statistic:
    """Mean over all answers."""

    def statistic(weights: Sequence[Array]) -> Array:
        seeds, families = weights
        sums, counts = (((families @ grid.T) * seeds).sum(axis=1) for grid in (cells.sums, cells.counts))
        return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)

    return statistic


def product_of(pair: tuple[Cells, Cells]) -> Statistic:
    """Mean over seeds of one set's share times the other's; their families are axes of their own."""

    def statistic(weights: Sequence[Array]) -> Array:
        shares = []
        for cells, families in zip(pair, weights[1:], strict=True):
            sums, counts = families @ cells.sums.T, families @ cells.counts.T
            shares.append(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))
        return (weights[0] * shares[0] * shares[1]).sum(axis=1) / weights[0].sum(axis=1)

    return statistic


def product_sizes(pair: tuple[Cells, Cells]) -> tuple[int, ...]:
    """Numbers of seeds and of each set's families.

    Raises:
        UserError: the sets have not the same seeds, or a seed answered only one of them.
    """
    seeds = {cells.counts.shape[0] for cells in pair}
    if len(seeds) > 1 or any((cells.counts.sum(axis=1) == 0).any() for cells in pair):
        raise UserError("a product of shares needs answers of every seed on both sets. Evaluate every seed on both.")
    return (seeds.pop(), *(cells.counts.shape[1] for cells in pair))
