"""XSTest prompts: safe ones are harmless look-alikes. paul-rottger/xstest, CC BY 4.0."""

from typing import Literal

from pydantic import Field

from trulysafe.data.readers._xstest import prompt_fields
from trulysafe.data.sources import Fields, Files, Row, SkipRowError, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "prompts"
    path: Files = ("xstest/xstest_prompts.csv",)
    urls: Urls = public_files("xstest")
    part: Literal["all", "safe", "unsafe"] = Field("all", description="Side of XSTest to keep.")


def fields(row: Row, options: Options) -> Fields:
    found = prompt_fields(row)
    if options.part not in ("all", "unsafe" if found["meta"]["harmful"] else "safe"):
        raise SkipRowError("other part of XSTest")
    return found
