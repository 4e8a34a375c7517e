"""Opening turns of hh-rlhf's red-team attempts: people who tried to lead a model into harm. Anthropic/hh-rlhf, MIT
(on the hub: ``files: [red-team-attempts/red_team_attempts.jsonl.gz]``)."""

from trulysafe.data.readers._hh_turns import TURN
from trulysafe.data.sources import HARMFUL, Fields, Row, SkipRowError, SourceOptions, source_options

Options = source_options(__name__, "prompts", "hh_rlhf/red_team_attempts.jsonl.gz", "Anthropic/hh-rlhf")


def fields(row: Row, options: SourceOptions) -> Fields:
    who, said = next(iter(TURN.findall("\n\n" + row.text("transcript").strip())), ("", ""))
    if who != "Human" or not said.strip():
        raise SkipRowError("no human turn")
    return {"prompt": said.strip(), "meta": HARMFUL}
