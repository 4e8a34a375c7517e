"""The PKU-SafeRLHF pairs whose responses differ in safety: the file that prompts, pairs and single responses are read
from."""

from trulysafe.data.sources import Fields, Files, Row, SourceOptions, Urls, public_files


class Reduced(SourceOptions):
    """Options of the kinds that read it."""

    path: Files = ("pku_saferlhf/preference_5k.jsonl.gz",)
    urls: Urls = public_files("pku_saferlhf")


def pair(row: Row) -> Fields:
    """Prompt, safe and unsafe response, which the original names in one list ``response``."""
    sides = row.values.get("response")
    if isinstance(sides, list) and len(sides) == 2:
        row = Row({**row.values, "chosen": sides[0], "rejected": sides[1]}, row.where)
    return {column: row.text(column) for column in ("prompt", "chosen", "rejected")}
