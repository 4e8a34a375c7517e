"""Completions of five models for XSTest prompts with human refusal labels. paul-rottger/xstest, CC BY 4.0."""

from trulysafe.data.readers._xstest import prompt_fields, verdict
from trulysafe.data.sources import Fields, Files, Row, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "responses"
    path: Files = ("xstest/completions/*.csv",)
    urls: Urls = public_files("xstest_completions")


def fields(row: Row, options: Options) -> Fields:
    return prompt_fields(row) | {"label": verdict(row), "response": row.text("completion")}
