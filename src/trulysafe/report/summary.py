"""One page of text about a run: what was compared, what came out, and what did not.

Findings against the methods stand in a section of their own: a contrast that shows nothing, or the opposite, is a
result. Nothing here judges by a threshold that the reader cannot see.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from trulysafe.report.arms import Arms, bases_of, label_of
from trulysafe.report.run import Run
from trulysafe.report.table import cells, p_text, to_markdown
from trulysafe.report.tables import contrasts, main, matched_safety
from trulysafe.stats.limits import SIGNIFICANT

LOWER_IS_BETTER = ("over_refusal", "not_complying", "malformed", "cut_off", "complies", "mixed")
NOTE = (
    "Shares of prompts; brackets: 95% intervals over training seeds and prompt families. The main table has them all."
)


def summary(title: str, run: Run, facts: Sequence[str] = ()) -> str:
    """Write the summary of a run as Markdown that also reads well in a terminal.

    Its metrics, contrasts and matched safety are read, each arm is held against its ``base``; ``facts`` are sentences
    that only the caller knows, such as the accuracy of a fitted judge.
    """
    rows = main.main_rows(run.metrics, run.arms)
    parts = [f"# {title}", _scope(rows, facts), "## Arms at the end of training", to_markdown(_short(rows)), NOTE]
    if declared := contrasts.table(run):
        parts += ["## Declared contrasts", to_markdown(declared.shown), _counted(run.contrasts)]
    if matched := matched_safety.table(run):
        parts += ["## Over-refusal at matched safety", to_markdown(matched.shown)]
    against = [*_against(run.contrasts, run.arms), *_costs(rows, run.arms)]
    found = "\n".join(f"- {line}" for line in against or ["None of the checks found one."])
    return "\n\n".join([*parts, "## Findings against, as measured", found]) + "\n"


def _short(rows: pd.DataFrame) -> pd.DataFrame:
    """The main table with intervals for the three axes alone, so that it fits a terminal."""
    bare = rows["column"].isin(("Safe EHD", "Safe IHD", "Safe MHD", "Malformed", "Truly safe"))
    limits = rows[["ci_low", "ci_high"]].mask(bare)
    return main.shown(rows.assign(ci_low=limits["ci_low"], ci_high=limits["ci_high"]))


def _scope(rows: pd.DataFrame, facts: Sequence[str]) -> str:
    trained = rows[(rows["seeds"] == rows["seeds"].max()) & ~rows["column"].isin(("Malformed", "Truly safe"))]
    trained = trained.drop_duplicates("column")
    per_seed = [f"{row['column']} {row['n'] // row['seeds']:,}" for row in trained.to_dict("records")]
    arms, seeds = rows["experiment"].nunique(), rows["seeds"]
    spread = f"{seeds.max()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    lines = [f"{arms} arms, {spread} seeds each. Prompts per seed: {', '.join(per_seed)}."]
    return "\n".join(f"- {line}" for line in [*lines, *facts])


def _counted(rows: pd.DataFrame) -> str:
    primary = rows[rows["primary"].astype(bool)]
    shown = int((primary["p_holm"] < SIGNIFICANT).sum())
    level = f"at the {SIGNIFICANT:.0%} level after Holm's correction"
    differ = f"{shown} of {len(primary)} primary contrasts differ {level}."
    counted = "No contrast was declared primary." if primary.empty else differ
    return f"{counted} Exploratory contrasts, uncorrected: {len(rows) - len(primary)}."


def _against(rows: pd.DataFrame, arms: Arms) -> list[str]:
    """Contrasts that show nothing, or that go against the first-named arm."""
    lines: list[str] = []
    differences = list(cells(rows, "difference", ".3f")) if len(rows) else []
    for row, text in zip(rows.to_dict("records"), differences, strict=True):
        p_value = row["p_holm"] if row["primary"] else row["p_value"]
        worse = (row["difference"] > 0) == (row["metric"] in LOWER_IS_BETTER)
        a, b = (label_of(arms, row[side]) for side in ("a", "b"))
        kind = "primary" if row["primary"] else "exploratory"
        metric = f"{row['metric'].replace('_', ' ')} ({row['risk']})"
        measured = f"{metric}: {text}, p {p_text(p_value)}, n {row['n']}, {kind}"
        if p_value >= SIGNIFICANT:
            lines.append(f"No difference shown, {a} - {b}, {measured}; one of {row['detectable']:.3f} could have been.")
        elif worse and row["difference"] != 0:
            lines.append(f"Worse, {a} than {b}, {measured}.")
    return lines


def _costs(rows: pd.DataFrame, arms: Arms) -> list[str]:
    """Arms whose interval lies wholly on the bad side of their base model's."""
    lines: list[str] = []
    columns = {"Helpful": -1, "Over-refusal": 1, "Malformed": 1}
    labels = dict(zip(rows["experiment"], rows["label"], strict=True))
    for column, bad in columns.items():
        of_column = {row["experiment"]: row for row in rows[rows["column"] == column].to_dict("records")}
        side = "below" if bad < 0 else "above"
        for base in bases_of(arms):
            start = of_column.get(base)
            members = [name for name in of_column if start and arms.get(name, {}).get("base") == base]
            worse = [name for name in members if start and _apart(of_column[name], start, bad)]
            if start and worse:
                listed = ", ".join(f"{labels[name]} {of_column[name]['value']:.2f}" for name in worse)
                lines.append(f"{column} {side} the {start['value']:.2f} of {labels[base]}, intervals apart: {listed}.")
    return lines


def _apart(row: dict[Any, Any], start: dict[Any, Any], bad: int) -> bool:
    return bool(row["ci_low"] > start["ci_high"]) if bad > 0 else bool(row["ci_high"] < start["ci_low"])
