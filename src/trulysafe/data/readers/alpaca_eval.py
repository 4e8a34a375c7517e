"""AlpacaEval instructions; the family is the set that an instruction comes from. tatsu-lab/alpaca_eval, CC BY-NC
4.0."""

from trulysafe.data.sources import Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "prompts", "alpaca_eval/text_davinci_003_outputs.jsonl.gz")


def fields(row: Row, options: SourceOptions) -> Fields:
    return {"prompt": row.text("instruction"), "family": row.optional("dataset"), "risk": "general"}
