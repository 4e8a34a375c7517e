"""Outcomes, checked and counted per training seed and prompt family; the variance of their mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trulysafe.common.errors import UserError
from trulysafe.stats.bootstrap import Array, Cells, crossed_variance, folded, mean_of
from trulysafe.stats.limits import LEVEL, RESAMPLES


def count_cells(values: ArrayLike, seeds: ArrayLike | None = None, families: ArrayLike | None = None) -> Cells:
    """Sum outcomes per seed and family; arguments and errors as :func:`trulysafe.stats.intervals.interval`.

    Clusters are in sorted order, so that the order of the answers does not matter and two calls with the same groupings
    give grids that match cell by cell.
    """
    return cells_of(checked_answers({"values": values}, seeds, families, LEVEL, RESAMPLES), "values")


def cells_of(frame: pd.DataFrame, column: str) -> Cells:
    """Sum a column of :func:`checked_answers` per seed and family, both in sorted order."""
    seeds, seed_names = pd.factorize(frame["seeds"], sort=True)
    families, family_names = pd.factorize(frame["families"], sort=True)
    shape = len(seed_names), len(family_names)
    flat = seeds * shape[1] + families
    sums = np.bincount(flat, weights=frame[column].to_numpy(), minlength=shape[0] * shape[1])
    counts = np.bincount(flat, minlength=shape[0] * shape[1]).astype(float)
    return Cells(sums.astype(float).reshape(shape), counts.reshape(shape))


def checked_answers(
    columns: dict[str, ArrayLike], seeds: ArrayLike | None, families: ArrayLike | None, level: float, resamples: int
) -> pd.DataFrame:
    """Put checked outcomes and groupings into one table; a missing grouping has one level."""
    if not 0 < level < 1:
        raise UserError(f"level: {level} is not accepted. Accepted: a number above 0 and below 1, such as 0.95.")
    if resamples < 100:
        raise UserError(
            f"resamples: {resamples} is too few for a variance. Accepted: 100 and more, such as {RESAMPLES}."
        )
    arrays = {name: _numbers(name, values) for name, values in columns.items()}
    n = next(iter(arrays.values())).size
    for name, groups in {"seeds": seeds, "families": families}.items():
        arrays[name] = np.zeros(n, dtype=int) if groups is None else _labels(name, groups)
    sizes = {name: array.size for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise UserError(f"statistics: lengths differ ({listed}). Give one entry per answer, in the same order.")
    return pd.DataFrame(arrays)


def _numbers(name: str, values: ArrayLike) -> Array:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise UserError(f"statistics: {name} holds something that is no number ({error}).") from error
    if array.ndim != 1 or array.size == 0:
        raise UserError(f"statistics: {name} has shape {array.shape}. Accepted: one number per answer, at least one.")
    if not np.isfinite(array).all():
        row = int((~np.isfinite(array)).argmax())
        raise UserError(
            f"statistics: {name}, row {row} is {array[row]}. Remove answers that were not scored, or score them."
        )
    return array


def _labels(name: str, groups: ArrayLike) -> np.ndarray:
    missing = pd.isna(np.asarray(groups, dtype=object))
    if missing.any():
        raise UserError(
            f"statistics: {name}, row {int(missing.argmax())} is missing. Accepted: {name} without missing values. "
            "Give every answer "
            "its label, or leave the answer out."
        )
    return np.asarray(groups)


def mean_variance(cells: Cells, values: pd.Series, resamples: int, seed: int) -> tuple[float, float]:
    """Variance of a mean and degrees of freedom: crossed bootstrap, or independent answers where nothing is clustered;
    NaN for a single one."""
    independent = float(values.var(ddof=1)) / len(values) if np.ptp(values) or len(values) == 1 else 0.0
    if cells.filled == 1:
        return independent, len(values) - 1
    groups = folded(cells)
    variance, df = crossed_variance(mean_of(groups), groups.counts.shape, resamples, seed)
    return max(variance, independent), df
