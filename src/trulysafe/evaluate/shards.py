"""The shards of one piece of work, put together again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd

from trulysafe.common.schema import read_table


def gathered(paths: Sequence[Path | str], judges: Sequence[str]) -> pd.DataFrame:
    """Verdicts of all batches, in the order that one shard per batch would give: by batch, then by judge.

    Args:
        paths: tables of schema ``verdicts``, one folder per batch, the shards of a batch in order.
        judges: all judges, in the order in which each shard's rows stand.
    """
    order = {name: number for number, name in enumerate(judges)}
    batches = []
    for _, of_batch in groupby(paths, key=lambda path: Path(path).parent):
        tables = [read_table(path, "verdicts") for path in of_batch]
        batch = pd.concat([table for table in tables if len(table)], ignore_index=True)
        batches.append(batch.sort_values("judge", key=lambda column: column.map(order), kind="stable"))
    return pd.concat(batches, ignore_index=True)
