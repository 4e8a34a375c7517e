"""LIMA: the first exchange of each conversation. GAIR/lima, CC BY-NC-SA 4.0; as a file or in the layout of the hub."""

from trulysafe.data.readers._general import exchange
from trulysafe.data.sources import Fields, Files, HubName, Row, SkipRowError, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "responses"
    path: Files = ("lima/lima.jsonl.gz",)
    urls: Urls = public_files("lima")
    repo: HubName = "GAIR/lima"


def fields(row: Row, options: Options) -> Fields:
    turns = row.values.get("conversations") or [turn for pair in row.values.get("history") or [] for turn in pair]
    if not turns:
        return exchange(row.text("instruction"), row.text("output"))
    if len(turns) < 2:
        raise SkipRowError("no response")
    return exchange(turns[0].strip(), turns[1].strip())
