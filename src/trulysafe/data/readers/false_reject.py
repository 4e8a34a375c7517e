"""FalseReject: harmless prompts that look harmful, with an answer, set against a refusal. AmazonScience/FalseReject,
from the hub; no file of it has a default path."""

from pydantic import Field

from trulysafe.data.sources import Fields, HubName, Row, SourceOptions


class Options(SourceOptions):
    TABLE = "pairs"
    repo: HubName = "AmazonScience/FalseReject"
    refusal: str = Field("I'm sorry, but I can't help with that.", description="Text of the rejected side.")


def fields(row: Row, options: Options) -> Fields:
    meta = {"harmful": False, "category": row.optional("category_text")}
    sides = {"chosen": row.text("instruct_response"), "rejected": options.refusal}
    return {"prompt": row.text("prompt"), **sides, "risk": "look_alike", "meta": meta}
