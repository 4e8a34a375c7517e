"""LIMA: the first exchange of each conversation. GAIR/lima, CC BY-NC-SA 4.0; as a file or in the layout of the hub."""

from trulysafe.data.sources import Fields, Files, HubName, Row, SkipRowError, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "responses"
    path: Files = ("lima/lima.jsonl.gz",)
    urls: Urls = public_files("lima")
    repo: HubName = "GAIR/lima"


def fields(row: Row, options: Options) -> Fields:
    turns = row.values.get("conversations") or [turn for pair in row.values.get("history") or [] for turn in pair]
    if len(turns) == 1:
        raise SkipRowError("no response")
    prompt, response = turns[:2] or (row.text("instruction"), row.text("output"))
    return {"prompt": prompt.strip(), "response": response.strip(), "risk": "general"}
