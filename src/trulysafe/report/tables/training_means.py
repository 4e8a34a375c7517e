"""What methods did while they trained: confidence in true and flipped labels, shares of tokens that masks kept."""

import pandas as pd

from trulysafe.report.run import Run, in_order
from trulysafe.report.table import Table, cells, spread
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
CAPTION = (
    "What methods did while they trained, mean over training of what each logged. Gamma: label confidence of the pairs "
    "in scope, also apart for pairs whose label was flipped on purpose; reward ranks as labelled: share of those "
    "pairs; kept: share of the tokens of chosen and of rejected responses in scope that the mask keeps, and share of "
    "responses that fell under the minimum share and were kept whole. Brackets hold Student's 95% intervals over seeds."
)


def table(run: Run) -> Table | None:
    """One line per arm: mean of each logged quantity over a training, then over seeds; :data:`GAP` is the difference of
    gamma on true and on flipped labels, seed by seed."""
    logged = pd.DataFrame(run.log, columns=["experiment", "seed", "name", "value"])
    logged = logged[logged["name"].isin(list(LOGGED))].dropna(subset=["value"])
    means = logged.groupby(["experiment", "seed", "name"])["value"].mean().unstack("name")
    means = means.reindex(columns=list(LOGGED)).rename(columns=LOGGED)
    means[GAP] = means["Gamma, true labels"] - means["Gamma, flipped labels"]
    found = [
        {"experiment": experiment, "column": column, **_mean(of_arm[column].dropna(), column)}
        for experiment, of_arm in means.groupby("experiment")
        for column in COLUMNS
        if of_arm[column].notna().any()
    ]
    if not found or (rows := in_order(pd.DataFrame(found), run.arms)).empty:
        return None
    rows = rows[["experiment", "label", "column", "value", "seeds", "ci_low", "ci_high"]].reset_index(drop=True)
    seeds = rows.groupby("experiment")["seeds"].transform("max")
    shown = spread(rows.assign(cell=cells(rows, "value"), seeds=seeds), COLUMNS, {"label": "Arm", "seeds": "Seeds"})
    return Table(rows, shown, CAPTION)


def _mean(values: pd.Series, column: str) -> dict[str, float]:
    """Mean over seeds; what is logged are shares and gammas, in [0, 1]."""
    found = interval(values, answers=False, bounds=(-1.0 if column == GAP else 0.0, 1.0))
    return {"value": found.value, "seeds": len(values), "ci_low": found.low, "ci_high": found.high}
