"""StrongREJECT's forbidden prompts, in six categories. alexandrasouly/strongreject, MIT, in the copy of
busycalibrating/AdversariaLLM."""

from trulysafe.data.sources import HARMFUL, Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "prompts", "strongreject/strongreject_dataset.csv")


def fields(row: Row, options: SourceOptions) -> Fields:
    return {"prompt": row.text("forbidden_prompt"), "meta": HARMFUL | {"category": row.text("category")}}
