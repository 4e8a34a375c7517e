"""What is said of options that pydantic does not accept: which key, what was found, what is accepted, what to do."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from trulysafe.common.errors import choices

AT_KEY = "at_key"
"""Type of pydantic's error that a whole table raises about its ``key``."""


_FORMS: dict[str, str] = {}
"""Regular expression of a text that is no name -> what it accepts, in words."""


def text_of_form(pattern: str, accepted: str) -> Any:
    """The field of a text that a regular expression must match; an error says in words what is ``accepted``."""
    _FORMS[pattern] = accepted
    return Field(pattern=pattern)


def value_error(kind: str, said: str) -> PydanticCustomError:
    """The error that a validator of a value raises."""
    return PydanticCustomError(kind, "{said}", {"said": said})


def error_at(key: str, said: str) -> PydanticCustomError:
    """The error that a whole table raises about one of its keys (dotted where it lies deeper)."""
    return PydanticCustomError(AT_KEY, "{said}", {"key": key, "said": said})


def explain(item: Mapping[str, Any], under: str = "") -> str:
    """One line about an entry of pydantic's list of errors; ``under`` is the key that holds the checked table."""
    keys = [part for part in map(str, item["loc"]) if "[" not in part]  # others are types that a value might have had
    match item["type"]:
        case "at_key":
            keys.append(item["ctx"]["key"])
        case "union_tag_invalid" | "union_tag_not_found":
            keys.append(item["ctx"]["discriminator"].strip("'"))
    return f"{'.'.join([*([under] if under else []), *keys]) or '(top level)'}: {what_is_wrong(item)}"


def what_is_wrong(item: Mapping[str, Any]) -> str:
    """What an entry of pydantic's list of errors says of a value: what was found, what is accepted, what to do."""
    ctx = item.get("ctx", {})
    if "said" in ctx:
        return str(ctx["said"])
    match item["type"]:
        case "missing" | "union_tag_not_found":
            return "missing. Add the key; config/README.md says what it holds."
        case "literal_error":
            return f"{item['input']!r} is not accepted.{choices(item['input'], _quoted(ctx['expected']))}"
        case "union_tag_invalid":
            return f"{ctx['tag']!r} is not accepted.{choices(ctx['tag'], _quoted(ctx['expected_tags']))}"
        case "string_pattern_mismatch" if ctx["pattern"] in _FORMS:
            return f"{item['input']!r} is not accepted. Accepted: {_FORMS[ctx['pattern']]}."
        case "string_pattern_mismatch":
            said = "letters, digits, '_' and '.', beginning with a letter or digit (names are parts of paths)."
            return f"the name {item['input']!r} is not accepted. Accepted: {said}"
        case "value_error":
            return str(ctx["error"])
    given = item.get("input")
    found = type(given).__name__ if isinstance(given, BaseModel | dict) else repr(given)
    if item["type"] in _ACCEPTED:
        return f"{found} is not accepted. Accepted: {_ACCEPTED[item['type']].format(**ctx)}."
    return f"{item['msg']}. Found {found}."


_ACCEPTED = {
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number, {ge:g} or more",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number, {le:g} or less",
    "finite_number": "a finite number",
    **dict.fromkeys(("number_type", "float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true, false"),
    "string_type": "a text",
    "list_type": "a list",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping of keys"),
}
"""Pydantic's errors about a value alone -> what would have been accepted."""


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def again(items: Iterable[ErrorDetails]) -> ValidationError:
    """The same errors, which pydantic then puts under the key of what raised them."""
    return ValidationError.from_exception_data("options", [_line(item) for item in items])


def _line(item: ErrorDetails) -> InitErrorDetails:
    ctx = item.get("ctx", {})
    own = PydanticCustomError(item["type"], "{said}" if "said" in ctx else item["msg"], ctx)
    is_own = "said" in ctx or item["type"] not in _KNOWN
    return InitErrorDetails(type=own if is_own else item["type"], loc=item["loc"], input=item.get("input"), ctx=ctx)


_KNOWN = frozenset(get_args(ErrorType))
