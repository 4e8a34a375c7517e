"""Frontiers over training steps: where policies stand in safety and over-refusal, and over-refusal at matched safety.

One end point is arbitrary, so arms are compared where they are equally safe. Along the steps of one seed, safety and
over-refusal are joined by straight lines; the point of a level is where safety first rises through it. A level that a
seed never reaches, or that it starts above, has no point there: it is counted, never extrapolated.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trulysafe.evaluate.metrics import POOLED
from trulysafe.evaluate.outcomes import MAIN
from trulysafe.stats.intervals import interval

MATCHED_COLUMNS = "experiment seed level metric value step status seeds reached ci_low ci_high".split()


def matched_safety(
    metrics: pd.DataFrame,
    *,
    levels: Sequence[float],
    starts: Mapping[str, str] | None = None,
    start_seeds: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """The share of look-alikes refused where the share safe first reaches each level, per seed and over seeds.

    Args:
        metrics: table of schema ``metrics``; experiments with step 0 alone, untrained ones, get no rows.
        levels: shares of harmful prompts handled safely, in (0, 1).
        starts: experiment -> the experiment that it starts from. Its last values become step 0: those of the same seed,
            or the mean over its seeds where it has no such seed (a base model).
        start_seeds: experiment -> the one seed of its start that all its seeds start from, if it is not their own.

    Returns:
        Columns :data:`MATCHED_COLUMNS`. Rows of a seed have ``status`` ``reached``, ``never reached`` or ``starts
        above`` and ``value`` and ``step`` only where reached. Rows with seed -1 hold the mean over the ``reached`` of
        ``seeds`` seeds, with Student's interval over them where they differ: it is conditional on reaching the level,
        so read it beside ``reached``; their status is ``not reached`` where the seeds' reasons differ.
    """
    every = points(metrics)
    single = every[every["seed"] != POOLED]
    rows: list[dict[str, Any]] = []
    for experiment, of_arm in single.groupby("experiment", sort=True):
        if not of_arm["step"].any():
            continue
        starting = single[single["experiment"] == (starts or {}).get(str(experiment))]
        one_seed = (start_seeds or {}).get(str(experiment))
        for level in levels:
            about = {"experiment": experiment, "level": level, "metric": "over_refusal"}
            found = []
            for seed, path in of_arm.groupby("seed", sort=True):
                start = _start(starting, seed if one_seed is None else one_seed)
                found.append({"seed": seed, **about, **_crossing(path, start, level)})
            rows += [*found, _over_seeds(found)]
    return pd.DataFrame(rows, columns=MATCHED_COLUMNS)


def points(metrics: pd.DataFrame) -> pd.DataFrame:
    """Where every policy stands under the main judge on test benchmarks, single seeds and pooled. Columns experiment,
    seed (-1: pooled), step; ``x``, the share of look-alikes refused, and ``y``, the share of harmful prompts handled
    safely, each with ``_low``, ``_high`` and ``_n``; no policy that lacks one of the two."""
    rows = metrics[(metrics["judge"] == MAIN) & (metrics["risk"] == "all")]
    keys, sides = ["experiment", "seed", "step"], []
    for letter, axis, metric in (("x", "over_refusal", "over_refusal"), ("y", "safety", "safe")):
        side = rows[(rows["benchmark"] == f"test/{axis}") & (rows["metric"] == metric)]
        names = {"value": letter, "ci_low": f"{letter}_low", "ci_high": f"{letter}_high", "n": f"{letter}_n"}
        sides.append(side[[*keys, *names]].rename(columns=names))
    return sides[0].merge(sides[1], on=keys).sort_values(keys, ignore_index=True)


def _start(rows: pd.DataFrame, seed: object) -> pd.DataFrame:
    """The last step of the start as one point at step 0: the seed's, else the mean over seeds; empty without rows."""
    if rows.empty:
        return rows
    rows = rows[rows["step"] == rows["step"].max()]
    of_seed = rows[rows["seed"] == seed]
    return (rows if of_seed.empty else of_seed)[["x", "y"]].mean().to_frame().T.assign(step=0)


def _crossing(path: pd.DataFrame, first: pd.DataFrame, level: float) -> dict[str, Any]:
    if not (path["step"] == 0).any():
        path = pd.concat([first, path]) if len(first) else path
    steps, safe, other = (path[column].to_numpy(dtype=float) for column in ("step", "y", "x"))
    if safe[0] >= level:
        return {"status": "starts above"}
    reached = np.flatnonzero(safe >= level)
    if not reached.size:
        return {"status": "never reached"}
    after = int(reached[0])
    share = (level - safe[after - 1]) / (safe[after] - safe[after - 1])
    value, step = ((1 - share) * array[after - 1] + share * array[after] for array in (other, steps))
    return {"status": "reached", "value": value, "step": step}


def _over_seeds(found: list[dict[str, Any]]) -> dict[str, Any]:
    reached = [row for row in found if row["status"] == "reached"]
    row = {key: found[0][key] for key in ("experiment", "level", "metric")}
    row |= {"seed": POOLED, "seeds": len(found), "reached": len(reached)}
    if not reached:
        return row | {"status": found[0]["status"] if len({one["status"] for one in found}) == 1 else "not reached"}
    value, step = (float(np.mean([one[key] for one in reached])) for key in ("value", "step"))
    limits = interval([one["value"] for one in reached], answers=False, bounds=(0.0, 1.0))
    return row | {"status": "reached", "value": value, "step": step, "ci_low": limits.low, "ci_high": limits.high}
