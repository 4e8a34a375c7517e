"""AdvBench's harmful behaviours. llm-attacks/llm-attacks, MIT, in the copy of ab235/AttnGCG-attack."""

from trulysafe.data.sources import HARMFUL, Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "prompts", "advbench/harmful_behaviors.csv")


def fields(row: Row, options: SourceOptions) -> Fields:
    return {"prompt": row.text("goal"), "meta": HARMFUL}
