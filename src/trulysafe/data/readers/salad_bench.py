"""SALAD-Bench questions; the family is the finest level of its taxonomy. OpenSafetyLab/Salad-Data, Apache-2.0; the
default path is a subset of the base set."""

from trulysafe.data.sources import HARMFUL, Fields, Row, SkipRowError, SourceOptions, source_options

Options = source_options(__name__, "prompts", "salad_bench/base_subset.jsonl", "OpenSafetyLab/Salad-Data")


def fields(row: Row, options: SourceOptions) -> Fields:
    if not row.values.get("qid", True):
        raise SkipRowError("a line of totals")
    question = "question" if "question" in row.values else "baseq"  # the set of defences names it so
    meta = HARMFUL | {"category": row.optional("1-category")}
    return {"prompt": row.text(question), "family": row.optional("3-category"), "meta": meta}
