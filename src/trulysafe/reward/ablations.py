"""What each choice of the reward is worth: fits that differ in one thing, compared on the same held-out pairs.

A fit has a seed (initial values, order, validation pairs), so every reward is fitted with several: intervals then count
the spread of fits beside that of prompts. Other training pairs are not drawn; an interval speaks about fits on these.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from trulysafe.common.errors import UserError
from trulysafe.methods.confidence import label_confidence
from trulysafe.reward.baselines import BASELINES, hybrid
from trulysafe.reward.evaluate import brier, ranked, signs
from trulysafe.reward.states import held_out_rows
from trulysafe.stats.comparisons import holm, paired_difference

OUTCOMES = ("ranked", "sign", "brier", "gamma_gap")
"""Outcomes of a held-out pair: see :func:`pair_outcomes`."""
COLUMNS = "ablation choice primary a b metric value_a value_b difference n seeds families".split()
COLUMNS += "stderr ci_low ci_high p_value p_holm".split()


def held_out_rewards(
    arrays: Mapping[str, Tensor], index: pd.DataFrame, options: Mapping, fits: int = 1, baseline: str | None = None
) -> pd.DataFrame:
    """Calibrated rewards of the held-out pairs, by ``fits`` on the others with the seeds ``seed``, ``seed`` + 1, ...
    Arrays, index (with family) and options are those of :func:`trulysafe.reward.stage.fit_stage`, which makes the first
    of these fits. A ``baseline`` takes the place of the hybrid reward; it has no seed and is fitted once. Returns one
    row per held-out pair and fit: pair_id, family (the prompt's own where the data names none), seed, safe, unsafe."""
    fit_rows, test_rows = held_out_rows(index, options["test_share"])
    safe, unsafe = (arrays[side].float().numpy() for side in ("safe", "unsafe"))
    held = index.iloc[test_rows].reset_index(drop=True)
    family = held["family"].replace("", None).fillna("prompt " + held["prompt_id"])
    about = held[["pair_id"]].assign(family=family.astype(str))
    groups = index["group_id"].iloc[fit_rows].to_numpy(dtype=str)
    tables = []
    for number in range(1 if baseline else fits):
        seed = options["seed"] + number
        fitter = BASELINES[baseline] if baseline else hybrid(seed=seed, **options["fit"])
        scorer = fitter(safe[fit_rows], unsafe[fit_rows], groups)
        tables.append(about.assign(seed=seed, safe=scorer(safe[test_rows]), unsafe=scorer(unsafe[test_rows])))
    return pd.concat(tables, ignore_index=True)


def pair_outcomes(safe: Any, unsafe: Any) -> dict[str, np.ndarray]:
    """Outcomes of pairs from their calibrated rewards, arrays [pairs]. ``ranked``: 1 where the safe response wins, a
    half for a tie. ``sign``: share of both responses on the right side of 0. ``brier``: squared error of
    ``sigmoid(reward)`` as the probability of a safe response, mean of both. ``gamma_gap``: label confidence of the pair
    less that with its label flipped, with the paper's alpha and floor."""
    safe, unsafe = (np.asarray(side, dtype=float) for side in (safe, unsafe))
    sides = torch.tensor(safe), torch.tensor(unsafe)
    given, flipped = (label_confidence(*pair, per_pair=True).numpy() for pair in (sides, sides[::-1]))
    return {
        "ranked": ranked(safe, unsafe),
        "sign": signs(safe, unsafe).mean(axis=0),
        "brier": brier(safe, unsafe),
        "gamma_gap": given - flipped,
    }


def reward_ablation_rows(rewards: Mapping[str, pd.DataFrame], ablations: Mapping[str, Mapping]) -> pd.DataFrame:
    """Difference of each reward to its default in every outcome, on the pairs that were held out of both.

    Args:
        rewards: name -> :func:`held_out_rewards`. One that was fitted once meets every fit of the other.
        ablations: name -> ``a`` and ``b`` (names in ``rewards``; the difference is a - b), ``choice`` (what differs,
            for reading) and ``primary`` (default true).

    Returns one row per ablation and outcome, columns :data:`COLUMNS`; ``n`` counts pairs times fits. ``p_holm`` is
    corrected over all :data:`OUTCOMES` of all primary ablations together and missing for the others; where there is no
    p-value, as the difference is the same everywhere, it counts with 1. UserError: two rewards share no held-out pair.
    """
    rows = []
    for name, about in ablations.items():
        a, b = _matched(name, rewards[about["a"]], rewards[about["b"]])
        shared = {"ablation": name, "primary": True, **about, "n": len(a)}
        shared |= {"seeds": a["seed"].nunique(), "families": a["family"].nunique()}
        rows += [{**shared, **row} for row in _tested(a, b)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    tested = table["primary"].astype(bool)
    table.loc[tested, "p_holm"] = holm(table.loc[tested, "p_value"].fillna(1.0))
    return table


def _matched(name: str, a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both sides on the same pairs and fits, row by row; the seeds of the fits count from 0."""
    sides = [side.assign(seed=pd.factorize(side["seed"], sort=True)[0]) for side in (a, b)]
    most = max(side["seed"].nunique() for side in sides)
    every = pd.DataFrame({"seed": range(most)})
    sides = [side if side["seed"].any() else side.drop(columns="seed").merge(every, "cross") for side in sides]
    keys = ["seed", "pair_id"]
    shared = sides[0][keys].merge(sides[1][keys]).sort_values(keys)
    if shared.empty:
        where = f"report.reward_ablations.{name}"
        raise UserError(f"{where}: the two rewards share no held-out pair. Give both the same datasets and rows.")
    return shared.merge(sides[0]), shared.merge(sides[1])


def _tested(a: pd.DataFrame, b: pd.DataFrame) -> Iterator[dict[str, Any]]:
    outcomes = [pair_outcomes(side["safe"], side["unsafe"]) for side in (a, b)]
    for metric in OUTCOMES:
        of_a, of_b = (of_side[metric] for of_side in outcomes)
        found = paired_difference(of_a, of_b, a["seed"], a["family"])
        row = {"metric": metric, "value_a": of_a.mean(), "value_b": of_b.mean(), "difference": found.value}
        yield row | {"stderr": found.stderr, "ci_low": found.low, "ci_high": found.high, "p_value": found.p_value}
