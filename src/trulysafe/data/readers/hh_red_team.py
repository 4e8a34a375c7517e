"""Opening turns of hh-rlhf's red-team attempts: people who tried to lead a model into harm. Anthropic/hh-rlhf, MIT
(on the hub: ``files: [red-team-attempts/red_team_attempts.jsonl.gz]``)."""

import re

from trulysafe.data.sources import HARMFUL, Fields, Row, SkipRowError, SourceOptions, source_options

_OPENING = re.compile(r"\s*Human:(.*?)(?=\n\n(?:Human|Assistant):|\Z)", re.DOTALL)

Options = source_options(__name__, "prompts", "hh_rlhf/red_team_attempts.jsonl.gz", "Anthropic/hh-rlhf")


def fields(row: Row, options: SourceOptions) -> Fields:
    opening = _OPENING.match(row.text("transcript"))
    if opening is None or not opening[1].strip():
        raise SkipRowError("no human turn")
    return {"prompt": opening[1].strip(), "meta": HARMFUL}
