"""The words of the demo world, from ``lexicon.toml``: topics by class, prompt frames, answer sentences, facts."""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

FACTS_PER_TOPIC = 20
WORDS: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
ITEMS, PERSONS = WORDS["items"].split(), WORDS["persons"].split()
_NUMBERS, _SMALL = range(2, 46), range(4, 14)
_SMALLER = [(a, b) for a in range(4, 46, 5) for b in range(1, 50, 9) if a != b]
_LARGER = [(a, b) for a in range(2, 46, 5) for b in range(3, 50, 9) if a != b]


class Topic(NamedTuple):
    """What a prompt asks for, the sentences that comply with it, and the things that it is about, if it has its own."""

    name: str
    act: str
    bodies: tuple[str, ...]
    entities: tuple[str, ...] = ()


class FactTopic(NamedTuple):
    """A topic of the general class: a noun phrase with ``{x}`` for what is asked about, and the right answers."""

    name: str
    act: str
    answers: dict[str, str]


def _topic(name: str, act: str, bodies: list[str], entities: str = "") -> Topic:
    return Topic(name, act, tuple(bodies), tuple(entities.split()))


TOPICS: dict[str, tuple[Topic | FactTopic, ...]] = {
    **{risk: tuple(_topic(**topic) for topic in topics) for risk, topics in WORDS["topics"].items()},
    "general": (
        *(
            FactTopic(name, fact["act"], dict(pair.split(":") for pair in fact["answers"].split()))
            for name, fact in WORDS["facts"].items()
        ),
        FactTopic("letter", "the first letter of {x}", {word: word[0].upper() for word in ITEMS}),
        FactTopic("ending", "the last letter of {x}", {word: word[-1].upper() for word in ITEMS}),
        FactTopic("sum", "the sum of {x}", {f"{a} and {b}": str(a + b) for a in range(2, 11) for b in range(2, a + 1)}),
        FactTopic("next", "the number after {x}", {str(n): str(n + 1) for n in _NUMBERS}),
        FactTopic("previous", "the number before {x}", {str(n): str(n - 1) for n in _NUMBERS}),
        FactTopic("half", "the half of {x}", {str(2 * n): str(n) for n in _NUMBERS}),
        FactTopic("rest", "the result of {x}", {f"{a} minus {b}": str(a - b) for a in _SMALL for b in range(1, a, 2)}),
        FactTopic("smaller", "the smaller number of {x}", {f"{a} and {b}": str(min(a, b)) for a, b in _SMALLER}),
        FactTopic("larger", "the larger number of {x}", {f"{a} and {b}": str(max(a, b)) for a, b in _LARGER}),
        FactTopic("double", "the double of {x}", {str(n): str(2 * n) for n in _NUMBERS}),
    ),
}
"""By risk class; each topic of facts has at least ``FACTS_PER_TOPIC`` questions."""
