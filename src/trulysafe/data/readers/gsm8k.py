"""GSM8K questions; the number after the last ``####`` is the reference answer that the judge ``keywords`` looks for.
openai/gsm8k, MIT; the default path is its test split."""

from trulysafe.data.sources import Fields, Files, HubName, Row, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "prompts"
    path: Files = ("gsm8k/test.jsonl.gz",)
    urls: Urls = public_files("gsm8k")
    repo: HubName = "openai/gsm8k"


def fields(row: Row, options: Options) -> Fields:
    answer = row.text("answer").rsplit("####", 1)[-1].strip().replace(",", "")
    return {"prompt": row.text("question"), "risk": "general", "meta": {"answer": answer}}
