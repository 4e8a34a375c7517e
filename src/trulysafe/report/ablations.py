"""The table of ablations: one line per choice, the difference it makes to each outcome in the cells."""

from __future__ import annotations

import pandas as pd

from trulysafe.report.arms import Arms, label_of
from trulysafe.report.tables import intervals
from trulysafe.stats.limits import SIGNIFICANT

COLUMNS = {
    "safe": "Safe",
    "over_refusal": "Over-refusal",
    "helpful": "General right",
    "ranked": "Pairs ranked right",
    "sign": "Signs right",
    "brier": "Brier score",
    "ece": "Calibration error",
    "gamma_gap": "Gamma, true less flipped label",
}
"""Outcomes of the arms (answers), then those of the rewards (held-out pairs)."""
FINE = ("ranked", "sign", "brier", "ece", "gamma_gap")
"""Outcomes that are given to three decimals: those of the rewards."""


def ablation_text(rows: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """Lay the rows of :func:`joined` out for reading, in their order.

    A star marks primary differences with a Holm-corrected p-value below :data:`trulysafe.stats.limits.SIGNIFICANT`.
    """
    cells = rows.assign(text=_cells(rows), column=rows["metric"].map(COLUMNS), line=_lines(rows))
    wide = cells.pivot(index="line", columns="column", values="text")
    wide = wide.reindex(columns=[column for column in COLUMNS.values() if column in wide]).fillna("")
    about = cells.drop_duplicates("line").set_index("line")
    head = pd.DataFrame(
        {
            "Choice": about["choice"],
            "Arm": about["a"].map(lambda name: label_of(arms, name)),
            "Default": about["b"].map(lambda name: label_of(arms, name)),
            "Declared": about["primary"].map({True: "primary", False: "exploratory"}),
            "Seeds": about["seeds"],
        }
    )
    return head.join(wide).reset_index(drop=True)


def joined(answers: pd.DataFrame | None, rewards: pd.DataFrame | None) -> pd.DataFrame:
    """One table of :func:`trulysafe.evaluate.ablations.ablation_rows` and :func:`trulysafe.reward.ablations.reward_ablation_rows`; either may lack.

    A column ``of`` says what a row is of: ``answers`` or ``rewards``. Empty where there are neither.
    """
    both = {"answers": answers, "rewards": rewards}
    parts = [rows.assign(of=kind) for kind, rows in both.items() if rows is not None and len(rows)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _cells(rows: pd.DataFrame) -> list[str]:
    stars = ["*" if p < SIGNIFICANT else "" for p in rows["p_holm"].fillna(1.0)]
    coarse, fine = (intervals(rows, "difference", digits) for digits in (2, 3))
    texts = zip(rows["metric"], coarse, fine, stars, strict=True)
    return [(three if metric in FINE else two) + star for metric, two, three, star in texts]


def _lines(rows: pd.DataFrame) -> pd.Series:
    """Number of each row's line: a name may stand for an arm and for a reward."""
    return pd.Series(pd.factorize(rows["of"] + " " + rows["ablation"])[0], index=rows.index)
