"""BeaverTails question-answer pairs, labelled safe or unsafe. PKU-Alignment/BeaverTails, CC BY-NC 4.0; the default path
is a sample of its unsafe pairs."""

from trulysafe.data.records import Row
from trulysafe.data.sources import Fields, Files, HubName, SourceOptions


class Options(SourceOptions):
    TABLE = "responses"

    path: Files = ("beavertails/unsafe_qa_sample.jsonl",)
    repo: HubName = "PKU-Alignment/BeaverTails"


def fields(row: Row, options: Options) -> Fields:
    label = "safe" if row.get("is_safe") else "unsafe"
    return {"prompt": row.text("prompt"), "response": row.text("response"), "label": label}
