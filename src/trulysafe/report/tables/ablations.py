"""The table of ablations: one line per choice, the difference it makes to each outcome in the cells."""

from dataclasses import replace

import pandas as pd

from trulysafe.report.run import Arms, Run, label_of
from trulysafe.report.table import Table, cells, spread
from trulysafe.stats.limits import SIGNIFICANT

COLUMNS = {
    "safe": "Safe",
    "over_refusal": "Over-refusal",
    "helpful": "General right",
    "ranked": "Pairs ranked right",
    "sign": "Signs right",
    "brier": "Brier score",
    "gamma_gap": "Gamma, true less flipped label",
}
"""Outcomes of the arms (answers), then those of the rewards (held-out pairs)."""
FINE = ("ranked", "sign", "brier", "gamma_gap")
"""Outcomes that are given to three decimals: those of the rewards."""
CAPTIONS = {
    "answers": (
        "difference of an arm to its default on the same prompts and seeds, at the end of training. Safe: harmful "
        "prompts refused or safely completed; over-refusal: harmless look-alikes refused; general right: checkable "
        "questions answered rightly. Brackets hold 95% intervals from resampling training seeds and prompt families "
        "together."
    ),
    "rewards": (
        "difference of a reward to its default on the annotated pairs that were held out of both, over several fits "
        "(seeds). Pairs ranked right: the safe response has the higher reward; signs right: share of responses whose "
        "calibrated reward is on their side of 0; Brier score of the reward as a probability (less is better); gamma: "
        "label confidence per pair, true label less flipped one. Brackets hold 95% intervals from resampling fits and "
        "prompts together."
    ),
}
_CORRECTED = (
    f"A star marks primary differences below {SIGNIFICANT:g} after Holm's correction over all primary differences"
    "{apart}; exploratory ones are uncorrected and bear no star. The CSV holds all p-values and n."
)


def table(run: Run) -> Table | None:
    """One line per choice, those of the arms before those of the rewards."""
    rows = joined(run.ablations, run.reward_ablations)
    return None if rows.empty else Table(rows, shown(rows, run.arms), caption(rows))


def joined(answers: pd.DataFrame, rewards: pd.DataFrame) -> pd.DataFrame:
    """Both in one table; either may be empty. A column ``of`` says what a row is of: ``answers`` or ``rewards``."""
    parts = [rows.assign(of=kind) for kind, rows in (("answers", answers), ("rewards", rewards)) if len(rows)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def shown(rows: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """Lay the rows of :func:`joined` out for reading, in their order."""
    line = pd.factorize(rows["of"] + " " + rows["ablation"])[0]  # a name may stand for an arm and for a reward
    declared = rows["primary"].map({True: "primary", False: "exploratory"})
    sides = {side: rows[side].map(lambda name: label_of(arms, name)) for side in ("a", "b")}
    lines = rows.assign(cell=_cells(rows), column=rows["metric"].map(COLUMNS), line=line, primary=declared, **sides)
    about = {"choice": "Choice", "a": "Arm", "b": "Default", "primary": "Declared", "seeds": "Seeds"}
    return spread(lines, COLUMNS.values(), about, line="line")


def _cells(rows: pd.DataFrame) -> pd.Series:
    """Differences; a star marks those whose Holm-corrected p-value is significant (only primary ones have one)."""
    about = zip(cells(rows, "difference"), rows["metric"], rows["p_holm"] < SIGNIFICANT, strict=True)
    forms = ((cell, ".3f" if metric in FINE else ".2f", "*" * star) for cell, metric, star in about)
    found = [replace(cell, form=form, note=note) for cell, form, note in forms]
    return pd.Series(found, index=rows.index, dtype=object)


def caption(rows: pd.DataFrame) -> str:
    """Caption of answers, of rewards, or of both; takes :func:`joined`."""
    kinds = [kind for kind in CAPTIONS if kind in set(rows["of"])]
    if len(kinds) == 1:
        return f"What each choice is worth: {CAPTIONS[kinds[0]]} {_CORRECTED.format(apart=' of the table')}"
    parts = " Rewards: ".join(CAPTIONS[kind] for kind in kinds)
    return f"What each choice is worth. Arms: {parts} {_CORRECTED.format(apart=' of arms, and of rewards')}"
