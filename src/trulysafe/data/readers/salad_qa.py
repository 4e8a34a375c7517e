"""The judge examples of SALAD-Bench: 0 is safe, 1 unsafe. OpenSafetyLab/SALAD-BENCH, Apache-2.0."""

from trulysafe.common.errors import not_accepted
from trulysafe.data.sources import HARMFUL, Fields, Row, SourceOptions, source_options

LABELS = {"0": "safe", "1": "unsafe"}

Options = source_options(__name__, "responses", "salad_bench/example_qa.jsonl")


def fields(row: Row, options: SourceOptions) -> Fields:
    label = row.fact("label")
    if label not in LABELS:
        raise not_accepted(f"{row.where}: label", label, LABELS)
    texts = {"prompt": row.text("question"), "response": row.text("answer")}
    return texts | {"label": LABELS[label], "meta": HARMFUL}
