"""Frontiers over training steps: over-refusal at matched safety, and the operating point of each arm.

One end point is arbitrary, so arms are compared where they are equally safe. Along the steps of one seed, safety and
over-refusal are joined by straight lines; the point of a level is where safety first rises through it. A level that a
seed never reaches, or that it starts above, has no point there: it is counted, never extrapolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trulysafe.errors import UserError
from trulysafe.evaluation import POOLED
from trulysafe.outcomes import MAIN
from trulysafe.stats import interval

LEVELS = (0.7, 0.8, 0.9)
MATCHED_COLUMNS = [
    "experiment", "seed", "level", "metric", "value", "step", "status", "seeds", "reached", "ci_low", "ci_high",
]  # fmt: skip


def matched_safety(
    metrics: pd.DataFrame,
    *,
    levels: Sequence[float] = LEVELS,
    metric: str = "over_refusal",
    starts: Mapping[str, str] | None = None,
    start_seeds: Mapping[str, int] | None = None,
    judge: str = MAIN,
    purpose: str = "test",
) -> pd.DataFrame:
    """Interpolate ``metric`` on look-alikes where the share safe first reaches each level, per seed and over seeds.

    Args:
        metrics: table of schema ``metrics`` with summary rows (:mod:`trulysafe.evaluation`).
        levels: shares of harmful prompts handled safely, in (0, 1).
        metric: ``over_refusal`` or ``not_complying``.
        starts: experiment -> the experiment that it starts from. Its last values become step 0: those of the same seed, or the mean over
            its seeds where it has no such seed (a base model). Untrained experiments (those with step 0 alone) get no rows.
        start_seeds: experiment -> the one seed of its start that all its seeds start from; their own where it is not named.
        judge, purpose: which summary rows to read.

    Returns:
        Columns :data:`MATCHED_COLUMNS`. Rows of a seed have ``status`` ``reached``, ``never reached`` or ``starts above``
        and ``value`` and ``step`` only where reached. Rows with seed -1 hold the mean over the ``reached`` of ``seeds``
        seeds, with Student's interval over them where they differ: it is conditional on reaching the level, so read it beside
        ``reached``; their status is ``not reached`` where the seeds' reasons differ. No rows where no benchmark measures safety, or none
        ``metric`` on look-alikes.
    """
    points = _points(metrics, metric, judge, purpose)
    rows: list[dict[str, Any]] = []
    for experiment, of_arm in points.groupby("experiment", sort=True):
        if not of_arm["step"].any():
            continue
        starting = points[points["experiment"] == (starts or {}).get(str(experiment))]
        one_seed = (start_seeds or {}).get(str(experiment))
        for level in levels:
            found = [
                {
                    "experiment": experiment,
                    "seed": seed,
                    "level": level,
                    "metric": metric,
                    **_crossing(path, _start(starting, seed if one_seed is None else one_seed), level),
                }
                for seed, path in of_arm.groupby("seed", sort=True)
            ]
            rows += [*found, _over_seeds(found)]
    return pd.DataFrame(rows, columns=MATCHED_COLUMNS)


def _points(metrics: pd.DataFrame, metric: str, judge: str, purpose: str) -> pd.DataFrame:
    """Safety and ``metric`` per experiment, seed and step."""
    rows = metrics[(metrics["judge"] == judge) & (metrics["risk"] == "all") & (metrics["seed"] != POOLED)]
    keys = ["experiment", "seed", "step"]
    safe = rows[(rows["benchmark"] == f"{purpose}/safety") & (rows["metric"] == "safe")]
    other = rows[(rows["benchmark"] == f"{purpose}/over_refusal") & (rows["metric"] == metric)]
    merged = safe[[*keys, "value"]].merge(other[[*keys, "value"]], on=keys, suffixes=("_safe", "_other"))
    return merged.sort_values(keys)


def _start(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The starting experiment's last step as one point at step 0: that of the seed, else the mean over seeds; empty where none is given."""
    if rows.empty:
        return rows
    rows = rows[rows["step"] == rows["step"].max()]
    of_seed = rows[rows["seed"] == seed]
    return (rows if of_seed.empty else of_seed)[["value_safe", "value_other"]].mean().to_frame().T.assign(step=0)


def _crossing(path: pd.DataFrame, first: pd.DataFrame, level: float) -> dict[str, Any]:
    if not (path["step"] == 0).any():
        path = pd.concat([first, path]) if len(first) else path
    steps, safe, other = (path[column].to_numpy(dtype=float) for column in ("step", "value_safe", "value_other"))
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
    values = [row["value"] for row in found if row["status"] == "reached"]
    row = {key: found[0][key] for key in ("experiment", "level", "metric")}
    row |= {"seed": POOLED, "seeds": len(found), "reached": len(values), "status": "reached"}
    if not values:
        row["status"] = found[0]["status"] if len({one["status"] for one in found}) == 1 else "not reached"
    if values:
        row |= {
            "value": float(np.mean(values)),
            "step": float(np.mean([r["step"] for r in found if r["status"] == "reached"])),
        }
        limits = interval(values, answers=False, bounds=(0.0, 1.0))
        row |= {"ci_low": limits.low, "ci_high": limits.high}
    return row


def select_steps(
    metrics: pd.DataFrame,
    *,
    metric: str = "truly_safe",
    benchmark: str = "development/all",
    judge: str = MAIN,
    untrained: Sequence[str] = (),
) -> pd.DataFrame:
    """Choose each arm's operating point on development prompts, with the same number of candidates for every arm.

    Args:
        metrics: table of schema ``metrics``; pooled rows are read.
        metric, benchmark, judge: what is made as large as possible; the earliest of equal steps is taken.
        untrained: experiments without training, which have no choice to make.

    Returns:
        Columns experiment, step, metric, value, candidates (how many steps were compared).

    Raises:
        UserError: no such rows, or arms with unequal numbers of candidates: more tries are an advantage of their own.
    """
    rows = metrics[(metrics["seed"] == POOLED) & (metrics["risk"] == "all") & (metrics["judge"] == judge)]
    rows = rows[(rows["metric"] == metric) & (rows["benchmark"] == benchmark)]
    if rows.empty:
        raise UserError(
            f"operating points: no pooled rows of {metric!r} on {benchmark!r}. Declare development benchmarks."
        )
    counts = rows.groupby("experiment")["step"].nunique()
    tuned = counts.drop([name for name in untrained if name in counts])
    if len(tuned.unique()) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in tuned.items())
        raise UserError(
            f"operating points: unequal numbers of candidate steps ({listed}). Snapshot every arm equally often."
        )
    best = rows.sort_values(["experiment", "value", "step"], ascending=[True, False, True]).drop_duplicates(
        "experiment"
    )
    return best.assign(candidates=best["experiment"].map(counts))[
        ["experiment", "step", "metric", "value", "candidates"]
    ].reset_index(drop=True)


def steps_of(selected: pd.DataFrame) -> Mapping[str, int]:
    """Experiment -> chosen step, as :func:`trulysafe.contrasts.contrast_rows` takes it."""
    return dict(zip(selected["experiment"], selected["step"].astype(int), strict=True))
