"""LIMA: the first exchange of each conversation. GAIR/lima, CC BY-NC-SA 4.0; as a file or in the layout of the hub."""

from trulysafe.data.sources import Fields, Row, SkipRowError, SourceOptions, source_options

Options = source_options(__name__, "responses", "lima/lima.jsonl.gz", "GAIR/lima")


def fields(row: Row, options: SourceOptions) -> Fields:
    turns = row.values.get("conversations") or [turn for pair in row.values.get("history") or [] for turn in pair]
    if len(turns) == 1:
        raise SkipRowError("no response")
    prompt, response = turns[:2] or (row.text("instruction"), row.text("output"))
    return {"prompt": prompt.strip(), "response": response.strip(), "risk": "general"}
