"""LIMA: the first exchange of each conversation. GAIR/lima, CC BY-NC-SA 4.0; as a file or in the layout of the hub."""

from trulysafe.data.sources import Fields, Row, SkipRowError, SourceOptions, source_options

Options = source_options(__name__, "responses", "lima/lima.jsonl.gz", "GAIR/lima")


def fields(row: Row, options: SourceOptions) -> Fields:
    history = [Row({"history": pair}, row.where) for pair in row.listed("history")]
    turns = row.listed("conversations") or [turn for pair in history for turn in pair.listed("history")]
    if len(turns) == 1:
        raise SkipRowError("no response")
    first = dict(zip(("instruction", "output"), turns, strict=False)) or row.values
    exchange = Row(first, row.where)
    return {"prompt": exchange.text("instruction"), "response": exchange.text("output"), "risk": "general"}
