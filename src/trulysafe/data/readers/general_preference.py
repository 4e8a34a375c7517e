"""Helpfulness pairs in LLaMA-Factory's layout: conversations of one human turn (a system turn before it is left out).
The demonstration set of hiyouga/LLaMA-Factory, Apache-2.0."""

from trulysafe.data.sources import Fields, Row, SkipRowError, SourceOptions, source_options

Options = source_options(__name__, "pairs", "general_preference_demo/dpo_en_demo.jsonl.gz")


def fields(row: Row, options: SourceOptions) -> Fields:
    turns = [turn for turn in row.parts("conversations") if turn.text("from") != "system"]
    if len(turns) != 1:
        raise SkipRowError("more than one exchange")
    answers = {side: row.parts(side)[0].text("value") for side in ("chosen", "rejected")}
    return {"prompt": turns[0].text("value"), **answers, "risk": "general"}
