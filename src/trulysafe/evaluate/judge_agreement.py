"""How far the judges of a benchmark agree with its main judge, answer by answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from trulysafe.evaluate.outcomes import KEYS, MAIN_METRIC, main_judges, outcome_table
from trulysafe.stats.intervals import interval

COLUMNS = [
    "benchmark", "axis", "main", "judge", "outcome", "main_share", "share", "agreement", "ci_low", "ci_high", "kappa", "n"
]  # fmt: skip


def judge_agreement(verdicts: pd.DataFrame, benchmarks: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Compare every further judge with the main one on the answers that both judged, at the last step of each experiment.

    Judges are compared on the outcome that their axis counts (safe, over-refusal, helpful) and not on the five verdicts, as a judge
    that reads phrases cannot tell a safe completion from a refusal.

    Args:
        verdicts: table of schema ``verdicts``.
        benchmarks: see :func:`trulysafe.evaluate.outcomes.outcome_table`.

    Returns:
        One row per benchmark and further judge: both judges' shares of the outcome, the share of answers on which they agree with a
        95% interval over seeds and prompt families, Cohen's kappa (NaN where both give one and the same outcome throughout) and n.
        No rows where no benchmark has two judges.
    """
    last = verdicts["step"] == verdicts.groupby("experiment")["step"].transform("max")
    outcomes = outcome_table(verdicts[last], benchmarks)
    mains = main_judges(outcomes, benchmarks)
    rows = []
    for names, other in outcomes[~outcomes["main"]].groupby(["benchmark", "judge"]):
        benchmark, judge = map(str, names)
        outcome = MAIN_METRIC[benchmarks[benchmark]["axis"]]
        keys = [key for key in KEYS if key != "judge"]
        main = outcomes[outcomes["main"] & (outcomes["benchmark"] == benchmark)].set_index(keys)
        both = other.set_index(keys).join(main[outcome].rename("main outcome")).dropna(subset=[outcome, "main outcome"])
        if len(both):
            rows.append(_row(both, outcome, {"benchmark": benchmark, "main": mains[benchmark], "judge": judge}))
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(both: pd.DataFrame, outcome: str, names: dict[str, str]) -> dict[str, Any]:
    from sklearn.metrics import cohen_kappa_score

    theirs, main = both[outcome], both["main outcome"]
    experiments = both.index.get_level_values("experiment") + "/" + both.index.get_level_values("seed").astype(str)
    measured = interval((theirs == main).astype(float).to_numpy(), experiments.to_numpy(), both["family"].to_numpy())
    one_class = len({*theirs, *main}) == 1
    return names | {
        "axis": both["axis"].iloc[0],
        "outcome": outcome,
        "main_share": main.mean(),
        "share": theirs.mean(),
        "agreement": measured.value,
        "ci_low": measured.low,
        "ci_high": measured.high,
        "kappa": float("nan") if one_class else float(cohen_kappa_score(main, theirs)),
        "n": measured.n,
    }
