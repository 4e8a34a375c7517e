"""What is said about a configuration that is not accepted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trulysafe.common.errors import UserError, choices, wrong_value
from trulysafe.common.kinds import UNKNOWN_KIND
from trulysafe.common.options import AT_KEY, Table, keys_beside
from trulysafe.config.tables.configuration import Configuration


def refusal(heading: str, problems: Iterable[object]) -> UserError:
    """One error that lists every problem below a heading."""
    return UserError("\n- ".join([heading, *map(str, problems)]))


def explain(item: Mapping[str, Any], table: type[Table] = Configuration, under: str = "") -> str:
    """One line about what pydantic found wrong in ``table``.

    Args:
        item: an entry of its list of errors.
        table: where it looked.
        under: key of the configuration that holds ``table``.
    """
    where = ".".join([*([under] if under else []), *map(str, _keys_of(item))])
    return f"{where or '(top level)'}: {_what_is_wrong(item, table)}"


def _what_is_wrong(item: Mapping[str, Any], table: type[Table]) -> str:
    match item["type"]:
        case "extra_forbidden":
            accepted = item.get("ctx", {}).get("accepted") or keys_beside(table, item["loc"])
            return f"unknown key.{choices(item['loc'][-1], accepted)} config/README.md explains them."
        case "missing":
            return "missing. Add the key; config/README.md says what it holds."
        case "string_pattern_mismatch":
            return (
                f"the name {item['input']!r} is not accepted. Accepted: letters, digits, '_' and '.', beginning with a letter or digit "
                "(names are parts of paths)."
            )
        case "value_error" | "literal_error" | "dict_type":
            return wrong_value(item)
    if item["type"] in (AT_KEY, UNKNOWN_KIND):
        return str(item["msg"])
    found = "" if isinstance(item.get("input"), dict) else f" Found {item.get('input')!r}."
    return f"{item['msg']}.{found}"


def _keys_of(item: Mapping[str, Any]) -> list[Any]:
    """The keys in pydantic's path, without the kind of model and the types by which it chose the table."""
    location = item["loc"]
    kinds = {2} if location and location[0] in ("models", "llms") else set()
    keys = [part for place, part in enumerate(location) if place not in kinds and "[" not in str(part)]
    return [*keys, item["ctx"]["key"]] if item["type"] == AT_KEY else keys
