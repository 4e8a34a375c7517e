"""Limits of a mean of one number per training seed, where the number is itself a mean or a statistic and not an answer.

:func:`trulysafe.stats.interval` takes values of 0 and 1 alone for single answers. Five seeds that all keep every token are not five answers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from trulysafe.errors import UserError
from trulysafe.stats import LEVEL, Interval


def seed_interval(
    values: ArrayLike, smallest: float = -np.inf, largest: float = np.inf, level: float = LEVEL
) -> Interval:
    """Mean over seeds with Student's interval.

    Args:
        values: one number per seed, shape [seeds].
        smallest, largest: what such a number can be; the limits are cut to it.
        level: confidence level in (0, 1).

    Returns:
        The mean; standard error and limits are NaN where there is a single seed, and where all are equal, which says nothing about their spread.

    Raises:
        UserError: no values, or one that is not a finite number.
    """
    found = np.asarray(values, dtype=float)
    if not found.size or not np.isfinite(found).all():
        raise UserError(f"seed interval: {found.tolist()} are not one finite number per seed.")
    mean, n = float(found.mean()), found.size
    if np.ptp(found) == 0:
        return Interval(mean, n, np.nan, np.nan, np.nan)
    stderr = float(np.sqrt(found.var(ddof=1) / n))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * stderr
    return Interval(mean, n, stderr, max(mean - half, smallest), min(mean + half, largest))
