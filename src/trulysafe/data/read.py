"""Data: read sources into schema tables (here), split prompts over roles (:mod:`.split`), check for leakage (:mod:`.leakage`).

``SOURCES`` lists the kinds of datasets. :func:`validate` is what can be known before any job runs, :func:`load` reads the table, and
:func:`read` also says what was dropped and why.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pandas as pd

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.common.schema import RISKS
from trulysafe.data import readers as _readers  # noqa: F401  (importing it registers the readers)
from trulysafe.data.records import find_files
from trulysafe.data.sources import (
    FILE_OPTIONS,
    SOURCES,
    TEXTS,
    Loaded,
    SkipRowError,
    build,
    from_hub,
    kind_of,
    paths_of,
    rows_of,
)
from trulysafe.prefetch.hub import how_to_pin

__all__ = ["KINDS", "SOURCES", "Loaded", "load", "read", "schema_kind", "validate"]

DEMO_OPTIONS = ("part", "world", "rows", "seed")
KINDS = (*SOURCES, "demo")
"""Every accepted ``kind`` of a dataset."""
_MAPPING = "a mapping is needed, such as {prompt: question}"
_FORMS: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
    ("path", (str, list), "a file, a pattern or a list of them is needed"),
    ("columns", dict, _MAPPING),
    ("risks", dict, _MAPPING),
    ("labels", dict, _MAPPING),
    ("meta", list, "a list of columns is needed"),
)


def load(kind: str, options: dict[str, Any], name: str = "") -> tuple[pd.DataFrame, str]:
    """Read a dataset into a table.

    Args:
        kind: one of ``KINDS``.
        options: options of the reader; ``folder`` is where relative paths start.
        name: text of the table's ``source`` column; by default the kind.

    Returns:
        The table and its schema kind (``prompts``, ``responses`` or ``pairs``).

    Raises:
        UserError: see :func:`read`.
    """
    loaded = read(kind, options, name)
    return loaded.frame, loaded.schema_kind


def read(kind: str, options: dict[str, Any], name: str = "") -> Loaded:
    """Read a dataset into a table, with a report of the rows read, kept and dropped by reason.

    Raises:
        UserError: an unknown kind or option, a missing file, a byte that is not UTF-8, a row that cannot be parsed, lacks its
            prompt, has an empty text or a value outside its set; names file, row and column.
    """
    validate(kind, options)
    if kind != "demo":
        return build(kind, options, name or kind)
    from trulysafe.data.demo import tables as demo

    frame = demo.table(options["part"], world=options["world"], rows=options["rows"], seed=options.get("seed", 0))
    frame = frame.assign(source=name) if name else frame
    return Loaded(
        frame,
        demo.PARTS[options["part"]],
        {"source": name or kind, "kind": kind, "read": len(frame), "kept": len(frame), "dropped": {}},
    )


def schema_kind(kind: str, options: dict[str, Any]) -> str:
    """Schema kind of the table that a dataset gives, without reading it."""
    validate_kind(kind)
    if kind != "demo":
        return kind_of(kind, options)
    from trulysafe.data.demo import tables as demo

    return demo.PARTS[options["part"]]


def validate_kind(kind: str) -> None:
    """Raise a :class:`UserError` unless ``kind`` is known."""
    if kind not in KINDS:
        raise not_accepted("dataset `kind`", kind, KINDS)


def validate(kind: str, options: dict[str, Any]) -> None:
    """Check all that is cheap to know before any job: names and values of options, that files exist, that the first row reads.

    Raises:
        UserError: names the option, the accepted values, and what to do.
    """
    validate_kind(kind)
    where = f"dataset of kind {kind!r}"
    accepted = DEMO_OPTIONS if kind == "demo" else (*FILE_OPTIONS, *SOURCES[kind].options)
    for option in options:
        if option not in accepted:
            raise not_accepted(f"{where}, option", option, accepted)
    for option in ("rows", "max_characters"):
        value = options.get(option)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise UserError(
                f"{where}, option `{option}`: {value!r} is not accepted; a whole number of at least 1 is needed."
            )
    if not isinstance(options.get("harmful", False), bool):
        raise UserError(f"{where}, option `harmful`: {options['harmful']!r} is not accepted; true or false is needed.")
    if kind == "demo":
        _validate_demo(where, options)
    else:
        _validate_rows(kind, where, options)


def _validate_demo(where: str, options: dict[str, Any]) -> None:
    from trulysafe.data.demo import tables as demo

    for option in ("part", "world", "rows"):
        if option not in options:
            raise UserError(f"{where}: option `{option}` is missing. Parts: {', '.join(demo.PARTS)}.")
    if options["part"] not in demo.PARTS:
        raise not_accepted(f"{where}, option `part`", options["part"], demo.PARTS)


def _validate_rows(kind: str, where: str, options: dict[str, Any]) -> None:
    for option, accepted, needed in _FORMS:
        value = options.get(option)
        if value is not None and not isinstance(value, accepted):
            raise UserError(f"{where}, option `{option}`: {value!r} is not accepted; {needed}.")
    if options.get("risk", "") not in RISKS:
        raise not_accepted(f"{where}, option `risk`", options["risk"], RISKS)
    if options.get("schema", "prompts") not in TEXTS:
        raise not_accepted(f"{where}, option `schema`", options["schema"], TEXTS)
    fields = (*TEXTS[kind_of(kind, options)], "risk", "family", "label")
    for name in options.get("columns", {}):
        if name not in fields:
            raise not_accepted(f"{where}, option `columns`", name, fields)
    if options.get("source", "file") not in ("file", "hub"):
        raise not_accepted(f"{where}, option `source`", options["source"], ("file", "hub"))
    if from_hub(kind, options):
        _validate_hub(kind, where, options)
        return
    find_files(options.get("folder", ""), paths_of(kind, options))
    first = next(rows_of(kind, options), None)
    if first is None:
        raise UserError(f"{where}: {paths_of(kind, options)[0]} holds no row.")
    for column in options.get("columns", {}).values():
        first.get(column)
    with suppress(SkipRowError):  # of no use, but well-formed
        SOURCES[kind].reader(first, options | {"schema": kind_of(kind, options)})


def _validate_hub(kind: str, where: str, options: dict[str, Any]) -> None:
    if not (options.get("repo") or SOURCES[kind].repo):
        raise UserError(
            f"{where}: option `repo` is missing; name the dataset on the hub, for example PKU-Alignment/PKU-SafeRLHF."
        )
    if options.get("revision") in (None, "", "main", "master"):
        raise UserError(
            f"{where}: option `revision` must pin a commit or a tag, not a branch. "
            + how_to_pin(options.get("repo") or SOURCES[kind].repo, "dataset")
        )
