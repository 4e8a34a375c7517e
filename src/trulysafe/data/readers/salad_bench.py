"""SALAD-Bench questions; the family is the finest level of its taxonomy. OpenSafetyLab/Salad-Data, Apache-2.0; the
default path is a subset of the base set."""

from trulysafe.data.sources import HARMFUL, Fields, Files, HubName, Row, SkipRowError, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "prompts"
    path: Files = ("salad_bench/base_subset.jsonl",)
    urls: Urls = public_files("salad_bench")
    repo: HubName = "OpenSafetyLab/Salad-Data"


def fields(row: Row, options: Options) -> Fields:
    if not row.values.get("qid", True):
        raise SkipRowError("a line of totals")
    question = "question" if "question" in row.values else "baseq"  # the set of defences names it so
    meta = HARMFUL | {"category": row.optional("1-category")}
    return {"prompt": row.text(question), "family": row.optional("3-category"), "meta": meta}
