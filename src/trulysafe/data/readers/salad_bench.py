"""SALAD-Bench questions; the family is the finest level of its taxonomy. OpenSafetyLab/Salad-Data, Apache-2.0; the
default path is a subset of the base set."""

from trulysafe.data.records import Row
from trulysafe.data.sources import HARMFUL, Fields, Files, HubName, SourceOptions


class Options(SourceOptions):
    TABLE = "prompts"

    path: Files = ("salad_bench/base_subset.jsonl",)
    repo: HubName = "OpenSafetyLab/Salad-Data"


def fields(row: Row, options: Options) -> Fields:
    meta = HARMFUL | {"category": row.optional("1-category")}
    return {"prompt": row.text("question"), "family": row.optional("3-category"), "meta": meta}
