"""What all tables of a configuration share: names, shares, counts, and that unknown keys are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

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


def tables_in(annotation: Any) -> list[type[Table]]:
    """The tables that a type names, alone, as alternatives or within a list or mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return [annotation]
    return [table for part in get_args(annotation) for table in tables_in(part)]
