"""Nested, grouped cross-validation: is the hybrid reward better than the best single layer?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from trulysafe.common.errors import not_accepted
from trulysafe.reward.baselines import Fitter, grouped_folds
from trulysafe.reward.evaluate import pair_accuracy, ranked, signs
from trulysafe.reward.states import group_codes, paired_states
from trulysafe.stats.comparisons import paired_difference
from trulysafe.stats.intervals import interval
from trulysafe.stats.limits import Difference, Interval

MEASURES = ("hard", "soft", "auc")


def cross_validated(
    safe: np.ndarray, unsafe: np.ndarray, fitter: Fitter, groups: np.ndarray, folds: int = 10, seed: int = 0
) -> pd.DataFrame:
    """Rewards of every pair by a model that never saw its group.

    Args:
        safe: states [N, L, D].
        unsafe: the same; row i is paired with row i.
        fitter: makes a scorer from training rows; all it selects, it selects on those.
        groups: integer code of each pair's group, shape [N].
        folds: outer folds.
        seed: of the folds.

    Returns:
        Columns pair, group, fold, safe_reward, unsafe_reward; one row per pair, in order.
    """
    table = pd.DataFrame(
        {"pair": np.arange(len(safe)), "group": groups, "fold": -1, "safe_reward": np.nan, "unsafe_reward": np.nan}
    )
    for fold, (train, test) in enumerate(grouped_folds(groups, folds, seed)):
        scorer = fitter(safe[train], unsafe[train], groups[train])
        table.loc[test, "fold"] = fold
        table.loc[test, "safe_reward"], table.loc[test, "unsafe_reward"] = scorer(safe[test]), scorer(unsafe[test])
    return table


def compare_rewards(
    safe_states: Any,
    unsafe_states: Any,
    candidates: Mapping[str, Fitter],
    *,
    groups: Sequence[Any] | None = None,
    folds: int = 10,
    repeats: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Cross-validated rewards of several candidates on the same folds.

    Args:
        safe_states: pooled states [N, L, D].
        unsafe_states: the same; row i is paired with row i.
        candidates: fitters by name, see :mod:`trulysafe.reward.baselines`.
        groups: one label per pair (prompt, duplicates); a group is never split.
        folds: outer folds.
        repeats: how often the pairs are divided into folds anew.
        seed: of the divisions.

    Returns:
        Columns candidate, repeat, pair, group, fold, safe_reward, unsafe_reward.
    """
    safe, unsafe = (side.numpy() for side in paired_states(safe_states, unsafe_states))
    codes = group_codes(groups, len(safe))
    tables = [
        cross_validated(safe, unsafe, fitter, codes, folds, seed + repeat).assign(candidate=name, repeat=repeat)
        for repeat in range(repeats)
        for name, fitter in candidates.items()
    ]
    columns = ["candidate", "repeat", "pair", "group", "fold", "safe_reward", "unsafe_reward"]
    return pd.concat(tables, ignore_index=True)[columns]


def summarise(rewards: pd.DataFrame) -> pd.DataFrame:
    """Hard, soft and true accuracy and AUC (within folds, weighted by their pairs) per candidate, averaged over the
    repeats of :func:`compare_rewards`."""
    rows = []
    for (candidate, repeat), table in rewards.groupby(["candidate", "repeat"], sort=False):
        safe, unsafe = table["safe_reward"].to_numpy(), table["unsafe_reward"].to_numpy()
        aucs = [
            roc_auc_score(np.repeat([1, 0], len(fold)), np.concatenate([fold["safe_reward"], fold["unsafe_reward"]]))
            for _, fold in table.groupby("fold")
        ]
        sizes = table.groupby("fold").size().to_numpy()
        rows.append(
            {
                "candidate": candidate,
                "repeat": repeat,
                **pair_accuracy(safe, unsafe),
                "auc": float(np.average(aucs, weights=sizes)),
            }
        )
    return pd.DataFrame(rows).drop(columns="repeat").groupby("candidate", sort=False).mean().reset_index()


def candidate_difference(rewards: pd.DataFrame, first: str, second: str, measure: str = "hard") -> Difference:
    """Paired difference of two candidates (first - second) with its interval; groups are the units, repeats are
    averaged.

    Args:
        rewards: from :func:`compare_rewards`.
        first: a candidate.
        second: the candidate it is compared with.
        measure: ``hard`` (responses with the right sign), ``soft`` (pairs ranked right) or ``auc`` (within folds).
    """
    sides = [_per_pair(rewards, name, measure) for name in (first, second)]
    groups = sides[0].index.get_level_values("group").to_numpy()
    return paired_difference(sides[0].to_numpy(), sides[1].to_numpy(), families=groups)


def candidate_interval(rewards: pd.DataFrame, candidate: str, measure: str = "hard") -> Interval:
    """One candidate's score with its interval; arguments, units and averaging as in :func:`candidate_difference`."""
    outcomes = _per_pair(rewards, candidate, measure)
    families = outcomes.index.get_level_values("group").to_numpy()
    return interval(outcomes.to_numpy(), families=families, bounds=(0.0, 1.0))


def _per_pair(rewards: pd.DataFrame, name: str, measure: str) -> pd.Series:
    """Mean outcome over the repeats, indexed by group and pair in sorted order."""
    if measure not in MEASURES:
        raise not_accepted("measure", measure, MEASURES)
    if name not in set(rewards["candidate"]):
        raise not_accepted("candidate", name, sorted(set(rewards["candidate"])))
    table = rewards[rewards["candidate"] == name]
    return table.assign(right=_outcome(table, measure)).groupby(["group", "pair"])["right"].mean()


def _outcome(table: pd.DataFrame, measure: str) -> np.ndarray:
    """Outcome of each row: in [0, 1], or for ``auc`` the pair's influence on the AUC, whose mean is the AUC and whose
    spread is that of the AUC.

    A pair acts on the AUC by both its responses, so its influence is ``V10 + V01 - AUC`` (DeLong et al. 1988); their
    mean, which has the same average, has half the spread.
    """
    safe, unsafe = table["safe_reward"].to_numpy(), table["unsafe_reward"].to_numpy()
    if measure == "hard":
        return signs(safe, unsafe).mean(axis=0)
    if measure == "soft":
        return ranked(safe, unsafe)
    outcome = np.empty(len(table))
    for rows in table.reset_index(drop=True).groupby(["repeat", "fold"]).groups.values():
        wins = ranked(safe[rows][:, None], unsafe[rows])
        outcome[rows] = wins.mean(axis=1) + wins.mean(axis=0) - wins.mean()
    return outcome
