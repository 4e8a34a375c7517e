"""GSM8K questions; the number after the last ``####`` is the reference answer that the judge ``keywords`` looks for.
openai/gsm8k, MIT; the default path is its test split."""

from trulysafe.data.sources import Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "prompts", "gsm8k/test.jsonl.gz", "openai/gsm8k")


def fields(row: Row, options: SourceOptions) -> Fields:
    answer = row.text("answer").rsplit("####", 1)[-1].strip().replace(",", "")
    return {"prompt": row.text("question"), "risk": "general", "meta": {"answer": answer}}
