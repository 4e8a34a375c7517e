"""UltraFeedback, binarised: helpfulness pairs; each side is a conversation whose last turn is the answer.
HuggingFaceH4/ultrafeedback_binarized, from the hub; no file of it has a default path."""

from trulysafe.data.sources import Fields, Row, SkipRowError, SourceOptions, source_options

Options = source_options(__name__, "pairs", repo="HuggingFaceH4/ultrafeedback_binarized")


def fields(row: Row, options: SourceOptions) -> Fields:
    sides = {side: row.parts(side) for side in ("chosen", "rejected")}
    if any(len(turns) != 2 for turns in sides.values()):
        raise SkipRowError("more than one exchange")
    answers = {side: turns[-1].text("content") for side, turns in sides.items()}
    return {"prompt": row.text("prompt"), **answers, "risk": "general"}
