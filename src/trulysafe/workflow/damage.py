"""Which of a failed job's inputs are damaged: cut short by a full disk, a broken copy or a killed program.

Only what a file says about itself is looked at (the end of a Parquet file, the lengths in a safetensors header, the syntax of JSON),
so that looking is quick even for a large model; a file of the right length with wrong bytes in it goes unnoticed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trulysafe.common.errors import UserError
from trulysafe.workflow.provenance import manifest_path, read_manifest

logger = logging.getLogger("trulysafe")


def damaged_files(path: Path) -> Iterator[tuple[Path, str]]:
    """Files of an input (a file, or all below a folder) that cannot be read, and why.

    Args:
        path: the input; files of other kinds than Parquet, safetensors and JSON are passed over, and so is what does not exist.
    """
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        check = _CHECKS.get(file.suffix)
        if check is None or not file.is_file():
            continue
        try:
            check(file)
        except Exception as error:  # whatever the libraries raise
            yield file, (str(error).splitlines() or [type(error).__name__])[0]


def tell_of_damage(inputs: Any, told: str = "") -> None:
    """Name inputs that are cut short, and how to make each again; ``told`` is what the user has read already."""
    for path in dict.fromkeys(map(str, inputs)):
        for file, reason in damaged_files(Path(path)):
            if str(file) in told:
                continue
            places = (place for place in (Path(path), *Path(path).parents) if place.name)
            made = next((place for place in places if manifest_path(place).is_file()), None)
            if made is None:
                remedy = "No rule of this workflow made it: fetch or copy it again, then run the same command again."
            else:
                remedy = f"Delete {made} and run the same command again{_made_by(made)}."
            logger.error("%s is cut short or damaged (%s). %s", file, reason, remedy)


def _made_by(output: Path) -> str:
    try:
        return f": rule {read_manifest(output)['rule']} makes it anew"
    except UserError:  # its manifest is damaged too
        return ""


def _parquet(file: Path) -> None:
    import pyarrow.parquet as pq

    pq.ParquetFile(file).close()


def _safetensors(file: Path) -> None:
    from safetensors import safe_open

    with safe_open(file, framework="numpy"):
        pass


def _json(file: Path) -> None:
    json.loads(file.read_text(encoding="utf-8"))


_CHECKS: dict[str, Callable[[Path], None]] = {".parquet": _parquet, ".safetensors": _safetensors, ".json": _json}
