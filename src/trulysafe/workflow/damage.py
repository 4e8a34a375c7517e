"""Which of a failed job's inputs are damaged: cut short by a full disk, a broken copy or a killed program.

Only what a file says about itself is looked at (the end of a Parquet file, the lengths in a safetensors header, the
syntax of JSON), which is quick even for a large model; a file of the right length with wrong bytes in it goes
unnoticed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from trulysafe.common.errors import UserError
from trulysafe.workflow.provenance import manifest_path, read_manifest

logger = logging.getLogger("trulysafe")


def tell_of_damage(inputs: Any, told: str = "") -> None:
    """Name inputs that are cut short, and how to make each again; ``told`` is what the user has read already."""
    for path in dict.fromkeys(map(Path, inputs)):
        for file, reason in _damaged(path):
            if str(file) in told:
                continue
            places = (place for place in (path, *path.parents) if place.name and manifest_path(place).is_file())
            made = next(places, None)
            remedy = "No rule of this workflow made it: fetch or copy it again, then run the same command again"
            if made is not None:
                remedy = f"Delete {made} and run the same command again"
                with suppress(UserError):  # its manifest may be damaged too
                    remedy += f": rule {read_manifest(made)['rule']} makes it anew"
            logger.error("%s is cut short or damaged (%s). %s.", file, reason, remedy)


def _damaged(path: Path) -> Iterator[tuple[Path, str]]:
    """Files of an input (a file, or all below a folder) that cannot be read, and why."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        try:
            if file.is_file():
                _look_at(file)
        except Exception as error:  # whatever the libraries raise
            yield file, (str(error).splitlines() or [type(error).__name__])[0]


def _look_at(file: Path) -> None:
    """Fail if a Parquet, safetensors or JSON file is cut short; other files are passed over."""
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        pq.ParquetFile(file).close()
    elif file.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(file, framework="numpy"):
            pass
    elif file.suffix == ".json":
        json.loads(file.read_text(encoding="utf-8"))
