"""Documents of a benchmark task as its authors publish them, for benchmarks that name a `task` of
lm-evaluation-harness.

The whole row is kept, as ``meta.document``, with the place that it stands at; the prompt, by which rows are split,
compared and chosen like all others, is the text of some of its columns.
"""

from typing import Annotated

from pydantic import BeforeValidator, Field

from trulysafe.data.sources import Fields, Row, SourceOptions


class Options(SourceOptions):
    TABLE = "prompts"
    prompt: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda given: (given,) if isinstance(given, str) else given, json_schema_input_type=str | list),
        Field(min_length=1, description="Column, or list of columns, whose texts tell one document from another."),
    ]


def fields(row: Row, options: Options) -> Fields:
    document = {column: value for column, value in row.values.items() if value is not None}
    place = row.where.removeprefix(f"{options.folder}/")  # the same bytes wherever the data lie
    prompt = "\n".join(row.text(column) for column in options.prompt)
    return {"prompt": prompt, "risk": "general", "meta": {"document": document, "place": place}}
