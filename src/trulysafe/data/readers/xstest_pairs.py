"""XSTest's safe prompts, what people call compliance against a refusal. paul-rottger/xstest, CC BY 4.0."""

from pydantic import Field

from trulysafe.data.readers._xstest import prompt_fields, verdict
from trulysafe.data.sources import Fields, Files, Row, SkipRowError, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "pairs"
    path: Files = ("xstest/completions/*.csv",)
    urls: Urls = public_files("xstest_completions")
    refusal: str = Field("I'm sorry, but I can't help with that.", description="Text of the rejected side.")


def fields(row: Row, options: Options) -> Fields:
    found = prompt_fields(row)
    if found["meta"]["harmful"] or verdict(row) != "complies":
        raise SkipRowError("not a compliant answer to a safe prompt")
    return found | {"chosen": row.text("completion"), "rejected": options.refusal}
