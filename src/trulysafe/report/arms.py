"""The arms of a report: what they are called, what they start from. Their colours: :mod:`trulysafe.report.style`."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

Arms = Mapping[str, Mapping[str, Any]]
"""Experiment -> ``label``, ``group``, ``base``, ``start`` (:attr:`trulysafe.plan.report.Report.arms`); in order."""


def label_of(arms: Arms, name: str) -> str:
    """Label of an arm, or its name."""
    return str(arms.get(name, {}).get("label") or name)


def bases_of(arms: Arms) -> list[str]:
    """The untrained models that arms name as their ``base``, each once."""
    return list(dict.fromkeys(str(about["base"]) for about in arms.values() if about.get("base")))


def in_order(rows: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """Rows of the arms, in their order, with their ``label``; rows of one arm stay in their order."""
    place = {name: number for number, name in enumerate(arms)}
    found = rows[rows["experiment"].isin(list(arms))]
    found = found.sort_values("experiment", key=lambda names: names.map(place), kind="stable")
    return found.assign(label=[label_of(arms, name) for name in found["experiment"]])


def at_last_step(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of each experiment at its last step."""
    return rows[rows["step"] == rows.groupby("experiment")["step"].transform("max")]
