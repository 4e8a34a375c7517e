"""Completions of five models for XSTest prompts with human refusal labels. paul-rottger/xstest, CC BY 4.0."""

from trulysafe.common.errors import not_accepted
from trulysafe.data.readers._xstest import prompt_fields
from trulysafe.data.records import Row
from trulysafe.data.sources import Fields, Files, SkipRowError, SourceOptions, Urls, public_files

LABELS = {"1_full_compliance": "complies", "2_full_refusal": "refuses", "3_partial_refusal": "mixed"}
"""Released label -> our verdict."""


class Options(SourceOptions):
    TABLE = "responses"

    path: Files = ("xstest/completions/*.csv",)
    urls: Urls = public_files("xstest_completions")


def fields(row: Row, options: Options) -> Fields:
    label = row.text("final_label")
    if label not in LABELS:
        raise not_accepted(f"{row.where}: final_label", label, LABELS)
    if not row.optional("completion"):
        raise SkipRowError("empty completion")
    return prompt_fields(row) | {"response": row.text("completion"), "label": LABELS[label]}
