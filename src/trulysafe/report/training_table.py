"""The table of what methods did while they trained: label confidence on true and flipped labels, shares of tokens that masks kept."""

from __future__ import annotations

import pandas as pd

from trulysafe.report.arms import Arms, label_of, line_per_arm
from trulysafe.report.tables import intervals
from trulysafe.stats.intervals import interval

LOGGED = {
    "confidence": "Gamma",
    "confidence/clean": "Gamma, true labels",
    "confidence/flipped": "Gamma, flipped labels",
    "reward_model/accuracy": "Reward ranks as labelled",
    "kept_share/chosen": "Kept, chosen",
    "kept_share/rejected": "Kept, rejected",
    "kept_share/fell_back": "Kept whole",
}
"""Logged name -> column."""
GAP = "True less flipped"
COLUMNS = [*list(LOGGED.values())[:3], GAP, *list(LOGGED.values())[3:]]


def training_rows(log: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """Mean of each logged quantity over a run's training, then over its seeds.

    Args:
        log: training log, columns experiment, seed, step, name, value.
        arms: experiments to show, in order, with their ``label``.

    Returns:
        Columns experiment, label, column, value, seeds, ci_low, ci_high (limits over seeds; none where there is one seed, or all are alike). The
        column :data:`GAP` is the difference of gamma on true and on flipped labels, seed by seed.
    """
    logged = log[log["experiment"].isin(list(arms)) & log["name"].isin(list(LOGGED))].dropna(subset=["value"])
    means = logged.groupby(["experiment", "seed", "name"])["value"].mean().unstack("name")
    means = means.reindex(columns=list(LOGGED)).rename(columns=LOGGED)
    means[GAP] = means[LOGGED["confidence/clean"]] - means[LOGGED["confidence/flipped"]]
    rows = []
    for experiment in arms:
        of_arm = means[means.index.get_level_values("experiment") == experiment]
        for column in COLUMNS:
            of_seeds = of_arm[column].dropna()
            if len(of_seeds):
                label = label_of(arms, experiment)
                rows.append({"experiment": experiment, "label": label, "column": column, **_summary(of_seeds, column)})
    return pd.DataFrame(rows, columns=["experiment", "label", "column", "value", "seeds", "ci_low", "ci_high"])


def training_text(rows: pd.DataFrame) -> pd.DataFrame:
    """Lay :func:`training_rows` out for reading: one line per arm, ``value [low, high]`` in the cells."""
    seeds = rows.groupby("experiment")["seeds"].transform("max")
    return line_per_arm(
        rows.assign(text=intervals(rows, "value"), seeds=seeds), COLUMNS, {"label": "Arm", "seeds": "Seeds"}
    )


def _summary(values: pd.Series, column: str) -> dict[str, float]:
    """Mean over seeds; what is logged are shares and gammas, in [0, 1]."""
    found = interval(values, answers=False, bounds=(-1.0 if column == GAP else 0.0, 1.0))
    return {"value": found.value, "seeds": len(values), "ci_low": found.low, "ci_high": found.high}
