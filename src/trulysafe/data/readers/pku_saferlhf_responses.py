"""One side of the PKU-SafeRLHF pairs whose responses differ in safety, to train judges. PKU-Alignment/PKU-SafeRLHF, CC
BY-NC 4.0, as reduced at the default path."""

from typing import Literal

from trulysafe.data.readers._pku_saferlhf import Reduced, pair
from trulysafe.data.sources import Fields, Row


class Options(Reduced):
    TABLE = "responses"
    side: Literal["chosen", "rejected"] = "chosen"
    """`chosen`: the safe responses. `rejected`: the unsafe ones."""


def fields(row: Row, options: Options) -> Fields:
    label = "safe" if options.side == "chosen" else "unsafe"
    found = pair(row)
    return {"prompt": found["prompt"], "response": found[options.side], "label": label}
