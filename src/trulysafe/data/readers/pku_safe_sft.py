"""PKU-SafeRLHF prompts with a safe response. PKU-Alignment/PKU-SafeRLHF, CC BY-NC 4.0, as reduced at the default
path."""

from trulysafe.data.sources import Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "responses", "pku_saferlhf/safe_sft.jsonl.gz")


def fields(row: Row, options: SourceOptions) -> Fields:
    return {"prompt": row.text("prompt"), "response": row.text("response"), "label": "safe"}
