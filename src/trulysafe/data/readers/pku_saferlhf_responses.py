"""One side of the PKU-SafeRLHF pairs whose responses differ in safety, to train judges. PKU-Alignment/PKU-SafeRLHF, CC
BY-NC 4.0, as reduced at the default path."""

from typing import Literal

from pydantic import Field

from trulysafe.data.records import Row
from trulysafe.data.sources import Fields, Files, SourceOptions


class Options(SourceOptions):
    TABLE = "responses"

    path: Files = ("pku_saferlhf/preference_5k.jsonl.gz",)
    side: Literal["chosen", "rejected"] = Field(
        "chosen", description="`chosen`: the safe responses. `rejected`: the unsafe ones."
    )


def fields(row: Row, options: Options) -> Fields:
    label = "safe" if options.side == "chosen" else "unsafe"
    return {"prompt": row.text("prompt"), "response": row.text(options.side), "label": label}
