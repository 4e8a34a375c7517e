"""Alpaca: the prompt is the instruction, followed by its input if it has one. tatsu-lab/alpaca, CC BY-NC 4.0; the
default path is the English demonstration subset of hiyouga/LLaMA-Factory."""

from trulysafe.data.sources import Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "responses", "alpaca/alpaca_en_demo.jsonl.gz", "tatsu-lab/alpaca")


def fields(row: Row, options: SourceOptions) -> Fields:
    prompt = "\n\n".join(filter(None, [row.text("instruction"), row.optional("input")]))
    return {"prompt": prompt, "response": row.text("output"), "risk": "general"}
