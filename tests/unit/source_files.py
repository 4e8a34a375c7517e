"""Files of a few rows for the readers of data sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trulysafe.data import read as data
from trulysafe.data.read import Loaded


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(kind: str, folder: Path, **options: Any) -> Loaded:
    """Read a source below a folder."""
    return data.read(kind, {"folder": str(folder), **options})
