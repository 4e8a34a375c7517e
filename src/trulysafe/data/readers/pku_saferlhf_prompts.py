"""Prompts of the PKU-SafeRLHF pairs whose responses differ in safety, to sample responses for.
PKU-Alignment/PKU-SafeRLHF, CC BY-NC 4.0, as reduced at the default path."""

from trulysafe.data.records import Row
from trulysafe.data.sources import HARMFUL, Fields, Files, SourceOptions


class Options(SourceOptions):
    TABLE = "prompts"

    path: Files = ("pku_saferlhf/preference_5k.jsonl.gz",)


def fields(row: Row, options: Options) -> Fields:
    return {"prompt": row.text("prompt"), "meta": HARMFUL}
