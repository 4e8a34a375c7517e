"""Helpfulness pairs in LLaMA-Factory's layout: conversations of one human turn (a system turn before it is left out).
The demonstration set of hiyouga/LLaMA-Factory, Apache-2.0."""

from trulysafe.data.sources import Fields, Files, Row, SkipRowError, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "pairs"
    path: Files = ("general_preference_demo/dpo_en_demo.jsonl.gz",)
    urls: Urls = public_files("general_preference")


def fields(row: Row, options: Options) -> Fields:
    turns = [turn for turn in row.get("conversations") if turn["from"] != "system"]
    if len(turns) != 1:
        raise SkipRowError("more than one exchange")
    texts = {"prompt": turns[0], "chosen": row.get("chosen"), "rejected": row.get("rejected")}
    return {column: Row(turn, row.where).text("value") for column, turn in texts.items()} | {"risk": "general"}
