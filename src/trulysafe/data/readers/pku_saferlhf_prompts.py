"""Prompts of the PKU-SafeRLHF pairs whose responses differ in safety, to sample responses for.
PKU-Alignment/PKU-SafeRLHF, CC BY-NC 4.0, as reduced at the default path."""

from trulysafe.data.readers._pku_saferlhf import Reduced
from trulysafe.data.sources import HARMFUL, Fields, Row


class Options(Reduced):
    TABLE = "prompts"


def fields(row: Row, options: Options) -> Fields:
    return {"prompt": row.text("prompt"), "meta": HARMFUL}
