"""Results that are kept as CSV, read back as they were written."""

from pathlib import Path
from typing import Any

import pandas as pd

_NAMES = "a ablation b benchmark category comparison contrast dataset experiment first judge main name second".split()
"""Columns of names, which stay texts where they look like numbers or, as ``None`` and ``null``, like nothing."""


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """A table of results; only an empty cell is missing. ``options`` are those of ``pandas.read_csv``."""
    given: dict[str, Any] = {"dtype": dict.fromkeys(_NAMES, str), "keep_default_na": False, "na_values": [""]}
    return pd.read_csv(path, **given | options)
