"""The form of answers that begin with an analysis; apart, so that who names a form loads no client."""

from pydantic import BaseModel, ConfigDict, field_validator


class Analysed(BaseModel):
    """An answer that begins with an analysis; the decision is a field of the form that is made of it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    analysis: str

    @field_validator("analysis")
    @classmethod
    def _not_empty(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the analysis is empty; analyse first, then decide")
        return text
