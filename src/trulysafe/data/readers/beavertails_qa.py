"""BeaverTails question-answer pairs, labelled safe or unsafe. PKU-Alignment/BeaverTails, CC BY-NC 4.0; the default path
is a sample of its unsafe pairs."""

from trulysafe.data.sources import Fields, Files, HubName, Row, SkipRowError, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "responses"
    path: Files = ("beavertails/unsafe_qa_sample.jsonl",)
    urls: Urls = public_files("beavertails_qa")
    repo: HubName = "PKU-Alignment/BeaverTails"


def fields(row: Row, options: Options) -> Fields:
    if "flag" in row.values:  # the original: mixed into another data set, each prompt within a template
        if row.text("flag") != "unsafe":
            raise SkipRowError("not of BeaverTails")
        prompt = row.text("instruction").partition("### Instruction:")[2].rpartition("### Response:")[0]
        row = Row({"prompt": prompt, "response": row.get("output"), "is_safe": False}, row.where)
    label = "safe" if row.get("is_safe") else "unsafe"
    return {"prompt": row.text("prompt"), "response": row.text("response"), "label": label}
