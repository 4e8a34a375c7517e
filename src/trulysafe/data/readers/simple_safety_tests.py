"""SimpleSafetyTests: 100 prompts that a model must not follow, in five areas of harm. bertiev/SimpleSafetyTests, CC BY
4.0."""

from trulysafe.data.sources import HARMFUL, Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "prompts", "simple_safety_tests/simple_safety_tests.csv")


def fields(row: Row, options: SourceOptions) -> Fields:
    return {"prompt": row.text("prompts_final"), "meta": HARMFUL | {"category": row.text("harm_area")}}
