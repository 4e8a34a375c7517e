"""Documents of a benchmark task as its authors publish them, for benchmarks that name a `task` of
lm-evaluation-harness.

The whole row is kept, as ``meta.document``, with the place that it stands at; the prompt, by which rows are split,
compared and chosen like all others, is the text of some of its columns.
"""

import re
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from trulysafe.common.errors import UserError
from trulysafe.common.option_errors import error_at
from trulysafe.common.options import Pattern
from trulysafe.data.sources import Fields, Row, SourceOptions


class Options(SourceOptions):
    TABLE = "prompts"
    prompt: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda given: (given,) if isinstance(given, str) else given, json_schema_input_type=str | list),
        Field(min_length=1, description="Column, or list of columns, whose texts tell one document from another."),
    ]
    from_path: dict[str, Pattern] = Field({})
    """Columns that the path of a row's file holds, where each file is of one subject: a regular expression whose group
    is the value, `{subject: '/([a-z_]+)/val-'}`. A column of the row itself goes before."""

    @property
    def by_path(self) -> bool:
        """Whether a row takes something from the path of its file."""
        return bool(self.from_path)

    @model_validator(mode="after")
    def _one_group(self) -> Self:
        for column, pattern in self.from_path.items():
            if re.compile(pattern).groups != 1:
                raise error_at(f"from_path.{column}", f"{pattern!r} needs one group in brackets, which is the value.")
        if self.from_path and self.from_hub and not self.files:
            raise error_at(
                "files", "missing. With `from_path` name the files of the hub data set, `['*/val-*.parquet']`."
            )
        return self


def fields(row: Row, options: Options) -> Fields:
    document = {column: value for column, value in row.values.items() if value is not None}
    whole = Row({**_by_path(row, options, document), **document}, row.where)
    place = row.where.removeprefix(f"{options.folder}/")  # the same bytes wherever the data lie
    prompt = "\n".join(_text(whole, column) for column in options.prompt)
    return {"prompt": prompt, "risk": "general", "meta": {"document": dict(whole.values), "place": place}}


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    texts = isinstance(value, list) and value and all(isinstance(part, str) for part in value)
    return "\n".join(value) if texts else row.text(column)


def _by_path(row: Row, options: Options, document: Fields) -> Fields:
    path, found = row.where.rpartition(": row ")[0], {}
    for column, pattern in options.from_path.items():
        if column not in document:
            if not (match := re.search(pattern, path)):
                raise UserError(
                    f"{row.where}: option `from_path.{column}`: {pattern!r} is not in the path of this file."
                )
            found[column] = match[1]
    return found
