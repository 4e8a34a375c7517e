"""BeaverTails question-answer pairs, labelled safe or unsafe. PKU-Alignment/BeaverTails, CC BY-NC 4.0; the default path
is a sample of its unsafe pairs."""

from trulysafe.data.sources import Fields, Row, SkipRowError, SourceOptions, source_options

Options = source_options(__name__, "responses", "beavertails/unsafe_qa_sample.jsonl", "PKU-Alignment/BeaverTails")


def fields(row: Row, options: SourceOptions) -> Fields:
    if "flag" in row.values:  # the original: mixed into another data set, each prompt within a template
        if row.text("flag") != "unsafe":
            raise SkipRowError("not of BeaverTails")
        prompt = row.text("instruction").partition("### Instruction:")[2].rpartition("### Response:")[0]
        row = Row({"prompt": prompt, "response": row.get("output"), "is_safe": False}, row.where)
    label = "safe" if row.flag("is_safe") else "unsafe"
    return {"prompt": row.text("prompt"), "response": row.text("response"), "label": label}
