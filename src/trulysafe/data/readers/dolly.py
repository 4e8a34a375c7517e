"""Dolly: the prompt is the instruction, followed by its context if it has one. databricks/databricks-dolly-15k, CC
BY-SA 3.0; the default path is a sample."""

from trulysafe.data.sources import Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "responses", "dolly/dolly_1k_sample.jsonl.gz", "databricks/databricks-dolly-15k")


def fields(row: Row, options: SourceOptions) -> Fields:
    prompt = "\n\n".join(filter(None, [row.text("instruction"), row.optional("context")]))
    meta = {"category": row.optional("category")}
    return {"prompt": prompt, "response": row.text("response"), "risk": "general", "meta": meta}
