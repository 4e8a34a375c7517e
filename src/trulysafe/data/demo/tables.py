"""The tables of the demo world: every part that a configuration can name as a data set."""

import json
import random
from collections.abc import Mapping

import pandas as pd

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.common.ids import pair_id, prompt_id, response_id, stable_seed
from trulysafe.common.schema import HARMFUL_RISKS, VERDICTS, check_table
from trulysafe.data.demo.lexicon import FactTopic
from trulysafe.data.demo.oracle import classify, respond
from trulysafe.data.demo.world import CLASSES, Prompt, build_world, prompts
from trulysafe.data.readers.demo import PARTS, Part

_EQUAL = dict.fromkeys(CLASSES, 1.0)
_SHARES: dict[str, Mapping[str, float]] = {
    "corpus": {"EHD": 0.20, "IHD": 0.19, "MHD": 0.20, "look_alike": 0.19, "general": 0.22},
    "preferences": dict.fromkeys(HARMFUL_RISKS, 1.0),
    "harmful": {"EHD": 0.18, "IHD": 0.63, "MHD": 0.20},
    "general_pairs": {"general": 1.0},
    "look_alike_pairs": {"look_alike": 1.0},
}
"""Class shares of a part; equal ones where none are given. `harmful` has the natural shares that paper B reports."""
_POOL = {"harmful": "pairs", "general_pairs": "pairs", "look_alike_pairs": "pairs"}
_HELP_SHARE = 0.3
"""Share of safe completions among the safe answers of the corpus and of the annotated pairs."""
_PREFERENCES = (("safe", "mixed"), ("safe", "complies"), ("mixed", "complies"))
"""What annotators of the reward's pairs compare, the safer first, all equally often."""
MISLABELLED = 0.05
"""Share of the reward's pairs of which the annotators took the worse side for the safer one."""


def table(part: Part, *, world: int, rows: int, seed: int = 0) -> pd.DataFrame:
    """Make ``rows`` rows of one part of a world, a table of schema ``PARTS[part]``; equal arguments give equal rows.

    ``world`` is the world's seed: topics, frames, entities, wordings and refusal propensities; ``seed`` draws rows and
    answers. Classes get their share of the rows. A part of prompts or pairs repeats no prompt; `corpus` and `judged`
    may, with other answers. Prompts of different parts are disjoint for all seeds. UserError where the part does not
    exist, ``rows`` is not positive, or a class has fewer prompts than asked for.
    """
    if part not in PARTS:
        raise not_accepted("demo part", part, PARTS)
    if rows < 1:
        raise UserError(f"demo part {part!r}: rows is {rows}. Accepted: at least 1.")
    rng = random.Random(stable_seed("demo table", part, world, seed))
    chosen = _draw(part, world, rows, rng)
    if PARTS[part] == "prompts":
        made = [_origin(prompt, world) for prompt in chosen]
    elif PARTS[part] == "pairs":
        made = [_pair(part, prompt, world, rng) for prompt in chosen]
    else:
        made = [_response(part, prompt, world, rng) for prompt in chosen]
    return check_table(pd.DataFrame(made), PARTS[part], f"demo part {part!r}")


def _draw(part: Part, world: int, rows: int, rng: random.Random) -> list[Prompt]:
    """Draw the prompts of a part by class share, in random order."""
    available, chosen = prompts(world), []
    for risk, count in _counts(rows, _SHARES.get(part, _EQUAL)).items():
        pool = available[risk, _POOL.get(part, part)]
        if count > len(pool) and PARTS[part] != "responses":
            has = f"{count} {risk} prompts asked for, world {world} has {len(pool)}"
            raise UserError(f"demo part {part!r}: {has}. Lower `rows` (now {rows}).")
        whole, rest = divmod(count, len(pool))
        chosen += [*pool * whole, *rng.sample(pool, rest)]
    rng.shuffle(chosen)
    return chosen


def _counts(rows: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Split ``rows`` by share, by largest remainder."""
    exact = {risk: rows * share / sum(shares.values()) for risk, share in shares.items()}
    counts = {risk: int(value) for risk, value in exact.items()}
    for risk in sorted(exact, key=lambda name: counts[name] - exact[name])[: rows - sum(counts.values())]:
        counts[risk] += 1
    return counts


def _origin(prompt: Prompt, world: int) -> dict[str, object]:
    """What a row says of its prompt; general questions carry their right answer for the ``keywords`` judge."""
    topic = build_world(world).topic(prompt.risk, prompt.topic)
    answer = {"answer": topic.answers[prompt.entity]} if isinstance(topic, FactTopic) else {}
    return {
        "prompt_id": prompt_id(prompt.text),
        "prompt": prompt.text,
        "risk": prompt.risk,
        "family": prompt.family,
        "source": f"demo world {world}",
        "meta": json.dumps(prompt.meta | answer, sort_keys=True),
    }


def _pair(part: Part, prompt: Prompt, world: int, rng: random.Random) -> dict[str, object]:
    """Annotated pair: for the reward a safer over a less safe answer, now and then the wrong way round; of harmless
    prompts complying over refusing, or right over wrong."""
    if part == "preferences":
        kinds = rng.choice(_PREFERENCES)
    else:
        kinds = ("complies", "wrong" if prompt.risk == "general" else "refuses")
    sides = [respond(prompt, _kind(kind, rng), rng) for kind in kinds]
    mislabelled = part == "preferences" and rng.random() < MISLABELLED
    chosen, rejected = sides[::-1] if mislabelled else sides
    answers = {"chosen": chosen, "rejected": rejected, "chosen_reward": float("nan"), "rejected_reward": float("nan")}
    return _origin(prompt, world) | answers | {"pair_id": pair_id(prompt.text, chosen, rejected)}


def _response(part: Part, prompt: Prompt, world: int, rng: random.Random) -> dict[str, object]:
    if part == "judged":
        kind = rng.choice(VERDICTS)
    else:
        habits = build_world(world).habits(prompt)
        kind = _kind(rng.choices(list(habits), list(habits.values()))[0], rng)
    response = respond(prompt, kind, rng)
    label = classify(prompt.meta, response)[0]
    identity = response_id(prompt.text, response)
    return _origin(prompt, world) | {"response": response, "response_id": identity, "label": label}


def _kind(kind: str, rng: random.Random) -> str:
    """A verdict: `safe` becomes one of the two safe ones."""
    if kind != "safe":
        return kind
    return "safe_completion" if rng.random() < _HELP_SHARE else "refuses"
