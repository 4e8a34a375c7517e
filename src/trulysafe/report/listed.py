"""What a report holds: every module in the folders ``tables`` and ``figures``, found by its name.

A table is ``tables/<name>.py`` with a function ``table(run)``, a figure ``figures/<name>.py`` with ``figure(run)``;
both have a text ``CAPTION``. They take a :class:`trulysafe.report.run.Run` and return one
:class:`~trulysafe.report.table.Table` or :class:`~trulysafe.report.style.Drawing`, several in a dict by what is added
to the name, or None where the run has nothing to show. Nothing else has to know of it.

The Snakefile reads this module, so nothing heavy is imported.
"""

import ast
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trulysafe.common.kinds import Kinds

if TYPE_CHECKING:
    from trulysafe.report.run import Run

TABLES = Kinds("trulysafe.report.tables", "a table")
FIGURES = Kinds("trulysafe.report.figures", "a figure")


def write_tables(folder: Path | str, run: "Run") -> list[Path]:
    """Write every table of a run into ``folder`` as Markdown, LaTeX, HTML and CSV; returns the paths."""
    return [path for name in TABLES.names for path in _write(Path(folder), name, TABLES.module(name).table(run))]


def write_figures(folder: Path | str, run: "Run") -> list[Path]:
    """Draw every figure of a run into ``folder`` as PDF, PNG and CSV; returns the paths."""
    return [path for name in FIGURES.names for path in _write(Path(folder), name, FIGURES.module(name).figure(run))]


def _write(folder: Path, name: str, made: Any) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    parts = made if isinstance(made, Mapping) else {"": made} if made else {}
    return [path for added, part in parts.items() for path in part.write(folder / f"{name}{added}")]


def modules(kinds: Kinds) -> list[str]:
    """Dotted names of all tables or figures, for code fingerprints."""
    return [kinds.module_name(name) for name in kinds.names]


def captions(kinds: Kinds) -> dict[str, str]:
    """Name -> the text ``CAPTION`` of its module, read without loading it."""
    found = {}
    for name in kinds.names:
        source = Path(str(getattr(find_spec(kinds.module_name(name)), "origin", ""))).read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CAPTION":
                found[name] = str(ast.literal_eval(node.value))
    return found
