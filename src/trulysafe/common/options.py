"""What all groups of options share: names, shares, counts, and that unknown keys are refused.

Tables of the configuration and the options of each kind (:mod:`trulysafe.common.kinds`) are made of these. Nothing heavy is imported, since
the Snakefile checks options at every start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

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
        fields = type(self).model_fields.items()
        given = {key for key, field in fields if getattr(self, key) != field.get_default(call_default_factory=True)}
        for key, kinds in self.KEYS.items():
            kind = getattr(self, key)
            needed, further = kinds[kind]
            for name in needed:
                if name not in given:
                    raise _error_at(name, f"missing. The {key} {kind!r} needs it.")
            for name in sorted(given - {*needed, *further}):
                if readers := [repr(other) for other, (need, more) in kinds.items() if name in (*need, *more)]:
                    raise _error_at(
                        name,
                        f"only the {key} {' or '.join(readers)} reads it, not {kind!r}. Leave it out (null in an overlay), or choose another {key}.",
                    )
        return self


def _error_at(key: str, said: str) -> PydanticCustomError:
    return PydanticCustomError(AT_KEY, "{said}", {"key": key, "said": said})


def tables_in(annotation: Any) -> list[type[Table]]:
    """The tables that a type names, alone, as alternatives or within a list or mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return [annotation]
    return [table for part in get_args(annotation) for table in tables_in(part)]
