"""What all groups of options share: names, shares, counts, and that unknown keys are refused.

Tables of the configuration and the options of each kind (:mod:`trulysafe.common.kinds`) are made of these. Nothing heavy is imported, since
the Snakefile checks options at every start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*$")]


FixedRole = Literal["corpus", "labeller", "reward", "pairs", "judge", "evaluation"]


Role = Literal["corpus", "labeller", "reward", "pairs", "judge", "evaluation", "split"]


Risk = Literal["EHD", "IHD", "MHD", "look_alike", "general", "other"]


Share = Annotated[float, Field(ge=0, le=1)]


Count = Annotated[int, Field(ge=1)]


Size = Literal["tiny", "1b", "8b", "13b", "70b"]


class Table(BaseModel):
    """A group of keys; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


AT_KEY = "at_key"
"""Type of pydantic's error that a whole table raises about its ``key``."""
Keys = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
"""Value of a key -> other keys that it needs, and further ones that it reads."""


class TableOfKinds(Table):
    """A table in which the value of a key decides which of the others are read; those that are not are refused.

    A key at its default counts as left out, so that a configuration with all defaults filled in is accepted; null does as well, so that an
    overlay can take a key away together with the kind that read it.
    """

    KEYS: ClassVar[Mapping[str, Keys]]
    """Key that decides -> what each of its values reads; keys that are not listed are always read."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, given: Any) -> Any:
        return {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _reads_what_is_given(self) -> Self:
        for key, kinds in self.KEYS.items():
            check_keys(self, key, kinds, kinds.__getitem__)
        return self


def check_keys(
    table: Table,
    key: str,
    kinds: Iterable[str],
    keys_of: Callable[[str], tuple[Sequence[str], Sequence[str]]],
    among: Iterable[str] | None = None,
) -> None:
    """Refuse a table that lacks what the value of its ``key`` needs, or gives what only other values read.

    Args:
        table: the table.
        key: the key that decides.
        kinds: every value that it may have.
        keys_of: value -> keys that it needs, and further ones that it reads.
        among: keys that not every value reads; all are looked at by default.

    Raises:
        PydanticCustomError: at the key that is missing or not read.
    """
    fields = type(table).model_fields.items()
    given = {name for name, field in fields if getattr(table, name) != field.get_default(call_default_factory=True)}
    kind = getattr(table, key)
    needed, further = keys_of(kind)
    for name in needed:
        if name not in given:
            raise _error_at(name, f"missing. The {key} {kind!r} needs it.")
    for name in sorted((given if among is None else given & {*among}) - {*needed, *further}):
        if readers := [repr(other) for other in kinds if any(name in keys for keys in keys_of(other))]:
            raise _error_at(
                name,
                f"only the {key} {' or '.join(readers)} reads it, not {kind!r}. Leave it out (null in an overlay), or choose another {key}.",
            )


def _error_at(key: str, said: str) -> PydanticCustomError:
    return PydanticCustomError(AT_KEY, "{said}", {"key": key, "said": said})


def tables_in(annotation: Any) -> list[type[Table]]:
    """The tables that a type names, alone, as alternatives or within a list or mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return [annotation]
    return [table for part in get_args(annotation) for table in tables_in(part)]


def keys_beside(start: type[Table], location: tuple[Any, ...]) -> list[str]:
    """Keys that are accepted where pydantic found one that is not, by the path from ``start`` to it."""
    annotation: Any = start
    for part in location[:-1]:
        if get_origin(annotation) is dict:  # names of components
            annotation = get_args(annotation)[1]
            continue
        tables = tables_in(annotation)
        fields = [table.model_fields[part] for table in tables if part in table.model_fields]
        tagged = [
            table
            for table in tables
            if any(part in get_args(field.annotation) for field in table.model_fields.values())
        ]
        annotation = fields[0].annotation if fields else (tagged or [annotation])[0]
    return sorted({field.alias or key for table in tables_in(annotation) for key, field in table.model_fields.items()})
