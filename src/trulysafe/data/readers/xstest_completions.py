"""Completions of five models for XSTest prompts with human refusal labels. paul-rottger/xstest, CC BY 4.0."""

from trulysafe.data.readers._xstest import prompt_fields, verdict
from trulysafe.data.sources import Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "responses", "xstest/completions/*.csv")


def fields(row: Row, options: SourceOptions) -> Fields:
    return prompt_fields(row) | {"label": verdict(row), "response": row.text("completion")}
