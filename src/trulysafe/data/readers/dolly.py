"""Dolly: the prompt is the instruction, followed by its context if it has one. databricks/databricks-dolly-15k, CC
BY-SA 3.0; the default path is a sample."""

from trulysafe.data.sources import Fields, Files, HubName, Row, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "responses"
    path: Files = ("dolly/dolly_1k_sample.jsonl.gz",)
    urls: Urls = public_files("dolly")
    repo: HubName = "databricks/databricks-dolly-15k"


def fields(row: Row, options: Options) -> Fields:
    prompt = "\n\n".join(filter(None, [row.text("instruction"), row.optional("context")]))
    meta = {"category": row.optional("category")}
    return {"prompt": prompt, "response": row.text("response"), "risk": "general", "meta": meta}
