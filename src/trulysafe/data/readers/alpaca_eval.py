"""AlpacaEval instructions; the family is the set that an instruction comes from. tatsu-lab/alpaca_eval, CC BY-NC
4.0."""

from trulysafe.data.sources import Fields, Files, Row, SourceOptions


class Options(SourceOptions):
    TABLE = "prompts"
    path: Files = ("alpaca_eval/text_davinci_003_outputs.jsonl.gz",)


def fields(row: Row, options: Options) -> Fields:
    return {"prompt": row.text("instruction"), "family": row.optional("dataset"), "risk": "general"}
