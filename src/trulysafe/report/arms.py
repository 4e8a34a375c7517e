"""The arms of a report: what they are called, what they start from, and tables with one line per arm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

Arms = Mapping[str, Mapping[str, Any]]
"""Experiment -> ``label``, ``group``, ``base`` and ``start``, as :attr:`trulysafe.plan.report.Report.arms` has them; the order is that of rows and
curves."""


def label_of(arms: Arms, name: str) -> str:
    """Label of an arm, or its name."""
    return str(arms.get(name, {}).get("label") or name)


def bases_of(arms: Arms) -> list[str]:
    """The untrained models that arms name as their ``base``, each once."""
    return list(dict.fromkeys(str(about["base"]) for about in arms.values() if about.get("base")))


def in_order(rows: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """Rows of the arms, in their order, with their ``label``; rows of one arm (column ``experiment``) stay in their order."""
    place = {name: number for number, name in enumerate(arms)}
    found = rows[rows["experiment"].isin(list(arms))].sort_values(
        "experiment", key=lambda names: names.map(place), kind="stable"
    )
    return found.assign(label=[label_of(arms, name) for name in found["experiment"]])


def line_per_arm(cells: pd.DataFrame, columns: Iterable[str], about: Mapping[str, str]) -> pd.DataFrame:
    """Lay cells out for reading: one line per arm, in the order in which the arms occur.

    Args:
        cells: columns experiment, column, text, and those that ``about`` names; at most one row per experiment and column.
        columns: values of ``column`` in the order to show them; those that no arm has are left out.
        about: column that is the same in all cells of an arm -> its header, in front of the cells.
    """
    wide = cells.pivot(index="experiment", columns="column", values="text")
    wide = wide.reindex(columns=[column for column in columns if column in wide]).fillna("")
    head = cells.drop_duplicates("experiment").set_index("experiment")[list(about)].rename(columns=about)
    return head.join(wide).rename_axis(columns=None).reset_index(drop=True)
