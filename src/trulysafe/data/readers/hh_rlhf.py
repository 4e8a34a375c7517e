"""Single exchanges of hh-rlhf: both dialogues open with one human turn and differ in the first assistant turn.
Anthropic/hh-rlhf, MIT; the default path is the test file of harmless-base."""

from trulysafe.data.readers._hh_turns import TURN
from trulysafe.data.sources import Fields, Row, SkipRowError, SourceOptions, source_options

Options = source_options(__name__, "pairs", "hh_rlhf/harmless-base_test.jsonl.gz", "Anthropic/hh-rlhf")


def fields(row: Row, options: SourceOptions) -> Fields:
    chosen, rejected = (TURN.findall("\n\n" + row.text(side)) for side in ("chosen", "rejected"))
    if min(len(chosen), len(rejected)) < 2:
        raise SkipRowError("no assistant turn")
    if chosen[0] != rejected[0]:
        raise SkipRowError("first human turns differ")
    if chosen[1] == rejected[1]:
        raise SkipRowError("diverges after the first assistant turn")
    prompt, good, bad = (turn[1].strip() for turn in (chosen[0], chosen[1], rejected[1]))
    if not (prompt and good and bad):
        raise SkipRowError("empty turn")
    return {"prompt": prompt, "chosen": good, "rejected": bad, "meta": {"turns": max(len(chosen), len(rejected))}}
