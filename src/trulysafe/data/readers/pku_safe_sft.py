"""PKU-SafeRLHF prompts with a safe response. PKU-Alignment/PKU-SafeRLHF, CC BY-NC 4.0, as reduced at the default
path."""

from trulysafe.data.sources import Fields, Files, Row, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "responses"
    path: Files = ("pku_saferlhf/safe_sft.jsonl.gz",)
    urls: Urls = public_files("pku_safe_sft")


def fields(row: Row, options: Options) -> Fields:
    return {"prompt": row.text("prompt"), "response": row.text("response"), "label": "safe"}
