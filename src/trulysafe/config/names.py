"""The names by which the tables of a configuration refer to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_origin

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.common.options import Table
from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.tables.preferences import PolicyOf

TABLES = tuple(key for key, field in Configuration.model_fields.items() if get_origin(field.annotation) is dict)
"""Keys of the configuration that hold components by name."""
TABLE_OF = {key: table for table in TABLES for key in (table, table.removesuffix("s"))} | {
    "mix": "mixes",
    "corpus": "datasets",
    "gamma_of": "experiments",
}
"""Key of a component -> the table that it takes names from; ``datasets`` and ``dataset`` both name data sets."""
IN_REPORT = {
    "contrasts": {"a": "experiments", "b": "experiments"},
    "ablations": {"arm": "experiments", "default": "experiments"},
    "reward_ablations": {"reward": "rewards", "default": "rewards"},
    "sweeps": {"points": "experiments"},
}
"""Key of ``report`` -> key of its components -> the table that it takes names from."""


def unknown_names(config: Configuration) -> Iterator[UserError]:
    """Every name that one table takes from another and that is not there."""
    for where, name, table in used_names(config):
        defined = getattr(config, table)
        if name not in defined:
            yield not_accepted(where, name, defined, do=f"Define it under {table}, or correct the name.")


def used_names(config: Configuration) -> Iterator[tuple[str, str, str]]:
    """Every name that is used: its key, the name, and the table that must hold it."""
    for table in TABLES:
        for name, component in getattr(config, table).items():
            yield from _names_in(f"{table}.{name}", component, TABLE_OF)
    if config.drift is not None:
        yield from _names_in("drift", config.drift, TABLE_OF)
    if config.report.kept_tokens is not None:
        yield from _names_in("report.kept_tokens", config.report.kept_tokens, TABLE_OF)
    for part, tables in IN_REPORT.items():
        for name, component in getattr(config.report, part).items():
            yield from _names_in(f"report.{part}.{name}", component, tables)


def _names_in(where: str, component: Table, tables: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for key in type(component).model_fields:
        value = getattr(component, key)
        if isinstance(value, PolicyOf):
            yield from _names_in(f"{where}.{key}", value, tables)
        elif key in tables:
            names = [value] if isinstance(value, str) else value or ()
            yield from ((f"{where}.{key}", name, tables[key]) for name in names)
