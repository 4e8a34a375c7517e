"""Write the prompts of a synthesised data set: ask for them, read them strictly, leave out what is of no use, and count
all of it. What is wanted is said by the kind of the data set (:mod:`trulysafe.data.synthesis`)."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd
from pydantic import BaseModel, ConfigDict, field_validator

from trulysafe.common.errors import UserError
from trulysafe.common.ids import normalise_text, prompt_id
from trulysafe.common.schema import check_table
from trulysafe.data.similarity import near_pairs
from trulysafe.data.sources import READERS
from trulysafe.data.synthesis import Ask, SynthesisOptions, record
from trulysafe.judges.refusal_phrases import DECLINES, verdict
from trulysafe.llm.client import Client
from trulysafe.llm.messages import REJECTED, TOO_LONG, Request
from trulysafe.llm.structured import Parsed, ask_for, nothing_read

YIELDS = ("asked", "readable", "refused", "too_long", "unreadable", "copied", "repeated", "evaluated", "kept")
"""What is counted of each family: prompts asked for; answers that could be read; refusals, conversations that left
a local model no room for an answer, and other answers that could not; of those that were read: repetitions of a seed or
of the example, of another prompt of the set, near-duplicates of a prompt that evaluation may ask; what is left."""
DECLINED = "it declines, where a prompt is asked for; write the prompt alone"
"""What is wrong with an answer whose prompt is a refusal."""
_DECLINES = re.compile("|".join((*DECLINES, r"\bsorry,? (?:but )?i\b")), re.IGNORECASE)
"""Not every "sorry": a prompt may open with one."""
_OPENING = 40
"""Characters of a prompt in which it says that the model declines to write it."""


class Written(BaseModel):
    """A generator's answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str

    @field_validator("prompt")
    @classmethod
    def _is_one(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the prompt is empty; write one")
        if declines(text):
            raise ValueError(DECLINED)
        return text.strip()


class Synthesised(NamedTuple):
    """A table of schema ``prompts``, and the report: counts of :data:`YIELDS` per family under ``yields``, and why
    answers could not be read, how often, under ``problems``."""

    frame: pd.DataFrame
    report: dict[str, Any]


def declines(prompt: str) -> bool:
    """Whether what should be a prompt opens with words in which a model declines."""
    return bool(_DECLINES.search(prompt.replace("\u2019", "'")[:_OPENING]))


def synthesise(
    kind: str,
    given: dict[str, Any] | SynthesisOptions,
    seeds: pd.DataFrame,
    evaluation: pd.DataFrame,
    *,
    threshold: float,
    name: str = "",
    client: Client | None = None,
) -> Synthesised:
    """Write a data set's prompts.

    Args:
        kind: name of a module of ``trulysafe.data.readers`` with a function ``asks``.
        given: options of the kind.
        seeds: table of schema ``prompts``, what the prompts are made of.
        evaluation: column ``prompt``: what evaluation may ask. Prompts at least as similar to any of
            it as ``threshold`` are left out, unless they descend from it.
        threshold: similarity of near-duplicates, as of the split; 1 compares for equality.
        name: text of the table's ``source`` column; by default the kind.
        client: the language model that is asked, where one is.

    UserError: seeds of a class are missing, the model gave nothing that can be read, or no prompt is left. It holds no
    text of a prompt.
    """
    options, name = READERS.checked(kind, given), name or kind
    wanted: list[Ask] = READERS.module(kind).asks(seeds, options)
    texts, ends, problems = _written(wanted, client, getattr(options, "attempts", 1), f"dataset {name!r}")
    ends = _without_use(wanted, texts, ends, evaluation, threshold)
    yields = _yields(wanted, ends)
    kept = [(ask, text) for ask, text, end in zip(wanted, texts, ends, strict=True) if end == "kept"]
    if not kept:
        counts = ", ".join(f"{count} {end}" for end, count in Counter(ends).items())
        do = "Name other seeds under `datasets`, raise `rows`, or ask another model."
        raise UserError(f"dataset {name!r} ({kind}): no prompt is left of {len(wanted)} asked for ({counts}). {do}")
    frame = pd.DataFrame([record(ask, text) for ask, text in kept]).assign(source=name)
    return Synthesised(check_table(frame, "prompts", f"dataset {name!r}"), {"yields": yields, "problems": problems})


def _written(
    wanted: Sequence[Ask], client: Client | None, attempts: int, where: str
) -> tuple[list[str], list[str], dict[str, int]]:
    """The text of each prompt, how its asking ended (``kept`` as yet, ``refused``, ``too_long`` or ``unreadable``),
    and how often each reason of there being no text occurred."""
    asked = [place for place, ask in enumerate(wanted) if not ask.text]
    texts, ends = [ask.text for ask in wanted], ["kept"] * len(wanted)
    if asked and client is None:
        do = "Name the model under `llm`, or choose families that a function writes."
        raise UserError(f"{where}: no language model is given, and {len(asked)} prompts are to be asked for. {do}")
    if not asked or client is None:
        return texts, ends, {}
    requests = [_request(wanted[place]) for place in asked]
    outcomes = ask_for(client, requests, Written, attempts)
    for place, outcome in zip(asked, outcomes, strict=True):
        if outcome.value is None:
            ends[place] = TOO_LONG if outcome.end == TOO_LONG else "refused" if _refused(outcome) else "unreadable"
        else:
            texts[place] = outcome.value.prompt
    failed = [outcome for outcome in outcomes if outcome.value is None]
    if len(failed) == len(outcomes):
        raise UserError(f"{where}: {_nothing(client, failed, attempts)}")
    return texts, ends, dict(sorted(Counter(outcome.problem for outcome in failed).items()))


def _request(ask: Ask) -> Request:
    example, answered = ask.shown
    return Request.of(system=ask.system, user=example).followed_by(answered, ask.user)


def _refused(outcome: Parsed[Written]) -> bool:
    return outcome.end == REJECTED or DECLINED in outcome.problem or verdict(outcome.text) == "refuses"


def _nothing(client: Client, failed: Sequence[Parsed[Written]], attempts: int) -> str:
    said = nothing_read(client, failed, attempts, "requests for prompts")
    if refused := sum(map(_refused, failed)):
        do = "A model that was trained to refuse may not write such prompts: name another one under `llm`"
        said += f" {refused} of them decline. {do}, or take milder seeds."
    return said


def _without_use(
    wanted: Sequence[Ask], texts: Sequence[str], ends: Sequence[str], evaluation: pd.DataFrame, threshold: float
) -> list[str]:
    """How each asking ended, with the prompts that are of no use told apart from those to keep."""
    found, seen = list(ends), set[str]()
    asking = set(map(prompt_id, evaluation["prompt"]))
    near = _near([*texts, *(text for ask in wanted for text in ask.apart), *evaluation["prompt"]], threshold)
    for place, (ask, text) in enumerate(zip(wanted, texts, strict=True)):
        if ends[place] != "kept":
            continue
        alike, identifier = near[prompt_id(text)], prompt_id(text)
        if alike & {prompt_id(other) for other in ask.apart if not _carries(ask, text, other)}:
            found[place] = "copied"
        elif identifier in seen:
            found[place] = "repeated"
        elif (alike & asking) - {str(seed["prompt_id"]) for seed in ask.seeds}:
            found[place] = "evaluated"
        seen |= {identifier} if found[place] == "kept" else set()
    return found


def _carries(ask: Ask, text: str, other: str) -> bool:
    """Whether a prompt holds another whole, and a fifth as much again, and may do so."""
    words, of_other = (normalise_text(part) for part in (text, other))
    return ask.carries_seed and of_other in words and len(words) >= 1.2 * len(of_other)


def _near(texts: Iterable[str], threshold: float) -> dict[str, set[str]]:
    """Ids of the texts that are like each text, its own too, by its id."""
    distinct = {prompt_id(text): text for text in texts}
    ids, near = list(distinct), {identifier: {identifier} for identifier in distinct}
    for one, other in zip(*near_pairs(list(distinct.values()), threshold)[:2], strict=True):
        near[ids[one]].add(ids[other])
        near[ids[other]].add(ids[one])
    return near


def _yields(wanted: Sequence[Ask], ends: Sequence[str]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for ask, end in zip(wanted, ends, strict=True):
        counts.setdefault(ask.group, Counter()).update(["asked", end])
    for found in counts.values():
        found["readable"] = found["asked"] - sum(found[end] for end in ("refused", TOO_LONG, "unreadable"))
    return {group: {name: found[name] for name in YIELDS} for group, found in counts.items()}
