"""The rows of datasets that a stage may see, by the one prompt-hash split."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.common.ids import unit_interval
from trulysafe.common.schema import read_table


def rows_of_role(
    tables: Sequence[Path | str], table_kind: str, split: Path | str, role: str, risks: Sequence[str] = ()
) -> pd.DataFrame:
    """Read tables of one schema and keep the rows whose prompt has the role of the stage that asks.

    ``corpus`` gets every prompt that is not kept for evaluation; ``risks`` keeps these classes, all where it is empty.
    A column ``group_id`` names each prompt's group of near-duplicates. UserError where nothing is left.
    """
    rows = pd.concat([read_table(path, table_kind) for path in tables], ignore_index=True)
    of_prompt = read_table(split, "split").drop_duplicates("prompt_id").set_index("prompt_id")
    roles, rows["group_id"] = (rows["prompt_id"].map(of_prompt[column]) for column in ("role", "group_id"))
    kept = rows[(roles != "evaluation") if role == "corpus" else (roles == role)]
    if risks:
        kept = kept[kept["risk"].isin(list(risks))]
    if kept.empty:
        asked = f"{role!r}{f' and the classes {list(risks)}' if risks else ''}"
        do = "Raise split.shares for this role, give the dataset this role, or add data."
        raise UserError(f"{', '.join(map(str, tables))}: no row is left for the role {asked}. {do}")
    return kept.reset_index(drop=True)


def at_most(table: pd.DataFrame, rows: int | None, salt: str = "limit") -> pd.DataFrame:
    """At most ``rows`` rows, in the table's order: those of the lowest prompt hashes, so smaller sets are in larger;
    another ``salt`` is another choice."""
    if rows is None or len(table) <= rows:
        return table.reset_index(drop=True)
    order = table["prompt_id"].map(lambda identifier: unit_interval(identifier, salt))
    chosen = order.sort_values(kind="stable").index[:rows]
    return table.loc[table.index.isin(chosen)].reset_index(drop=True)
