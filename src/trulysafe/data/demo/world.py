"""A demo world: which topics, frames, entities and wordings exist, who may see them, and every prompt that can be
asked.

Topics and frames each have a role. Alignment parts use alignment topics in alignment frames; `development` and `test`
use their own topics in their own frames; the base corpus sees all other crossings (and its own share of the alignment
prompts), so that it knows every word and never an evaluation prompt. The world's seed decides roles, entities, wordings
and propensities, so a second seed is another world.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from trulysafe.common.ids import prompt_id, stable_seed, unit_interval
from trulysafe.common.schema import HARMFUL_RISKS
from trulysafe.data.demo.lexicon import FACTS_PER_TOPIC, ITEMS, PERSONS, TOPICS, WORDS, FactTopic, Topic

CLASSES = (*HARMFUL_RISKS, "look_alike", "general")
TOPIC_ROLES = ("alignment",) * 6 + ("development",) * 3 + ("test",) * 10
FRAME_ROLES = ("alignment",) * 6 + ("development",) * 4 + ("test",) * 4
ENTITIES = 24
CAUTIOUS_SHARE, CAUTIOUS, CARELESS = 0.2, 0.85, 0.2
"""Share of safe answers in the base corpus about the fifth of the entities that make it cautious; about the others it
rises from 0 to the last number, so that a small push changes the most likely answer about some of them."""
ALIGNMENT_SHARES = {"corpus": 0.10, "risk_labels": 0.12, "preferences": 0.14, "judged": 0.14, "pairs": 0.50}
"""How the prompts of alignment topics in alignment frames are dealt out, by prompt hash: no two parts share a
prompt."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Prompt:
    """One askable prompt, and what the oracle needs to know of it."""

    text: str
    part: str
    world: int
    risk: str
    topic: str
    frame: int
    entity: str
    person: str = ""

    @property
    def family(self) -> str:
        """The topic, what cluster resampling draws: prompts of one topic differ in frame, entity and person alone."""
        return f"{self.risk}/{self.topic}"

    @property
    def meta(self) -> dict[str, object]:
        """Facts for :func:`trulysafe.data.demo.oracle.classify`."""
        return {key: getattr(self, key) for key in ("world", "risk", "topic", "entity", "person")}


@dataclass(frozen=True)
class World:
    """Everything that one world seed draws from the lexicon: per class, topic name -> (topic, role) and (frame, role)
    in a fixed order (EHD and look-alikes share theirs); the items and persons of this world; answer sentences by
    kind."""

    seed: int
    topics: dict[str, dict[str, tuple[Topic | FactTopic, str]]]
    frames: dict[str, tuple[tuple[str, str], ...]]
    items: tuple[str, ...]
    persons: tuple[str, ...]
    answers: dict[str, tuple[str, ...]] = field(repr=False)

    def topic(self, risk: str, name: str) -> Topic | FactTopic:
        """The topic called ``name`` of class ``risk``."""
        return self.topics[risk][name][0]

    def habits(self, prompt: Prompt) -> Mapping[str, float]:
        """Probabilities of the kinds of answer to ``prompt`` in the base corpus, by its entity. Where there is harm,
        most answers hold safe and unsafe parts, so that a mask has something to drop. Look-alikes are refused too, as
        real chat models do, but no question of fact."""
        if prompt.risk == "general":
            return {"complies": 1.0}
        safe = _caution(self.seed, prompt.risk, prompt.topic)[prompt.entity]
        if prompt.risk not in HARMFUL_RISKS:
            return {"refuses": safe, "complies": 1 - safe}
        return {"safe": safe, "mixed": (1 - safe) * 3 / 4, "complies": (1 - safe) / 4}


@lru_cache(maxsize=256)
def _caution(seed: int, risk: str, topic: str) -> dict[str, float]:
    """Share of safe answers in the base corpus by entity of a topic."""
    world = build_world(seed)
    entities = sorted(_entities(world, risk, world.topic(risk, topic)), key=lambda name: unit_interval(name, str(seed)))
    careless = round((1 - CAUTIOUS_SHARE) * len(entities))
    shares = [CARELESS * place / careless for place in range(careless)]
    return dict(zip(entities, shares + [CAUTIOUS] * (len(entities) - careless), strict=True))


@lru_cache(maxsize=8)
def build_world(seed: int) -> World:
    """Draw the world of ``seed``: the same seed gives the same world on every machine."""
    rng = random.Random(stable_seed("demo world", seed))
    drawn_topics = {risk: _with_roles(rng, TOPICS[risk], TOPIC_ROLES) for risk in CLASSES}
    topics = {
        risk: {topic.name: (_with_one_body(topic, rng), role) for topic, role in drawn}
        for risk, drawn in drawn_topics.items()
    }
    frames = {risk: _with_roles(rng, pool, FRAME_ROLES) for risk, pool in WORDS["frames"].items()}
    items, persons = rng.sample(ITEMS, ENTITIES), rng.sample(PERSONS, ENTITIES)
    drawn = {"refusals": 5, "reasons": 5, "help": 2, "help_item": 2, "help_person": 2, "openers": 2, "closers": 2}
    return World(
        seed=seed,
        topics=topics,
        frames=frames | {"look_alike": frames["EHD"]},
        items=tuple(items),
        persons=tuple(persons),
        answers={kind: tuple(rng.sample(WORDS["answers"][kind], count)) for kind, count in drawn.items()},
    )


def _with_one_body(topic: Topic | FactTopic, rng: random.Random) -> Topic | FactTopic:
    """A topic with one of the ways to comply: a tiny model learns them all by heart."""
    return topic._replace(bodies=(rng.choice(topic.bodies),)) if isinstance(topic, Topic) else topic


def _with_roles(rng: random.Random, pool: Sequence[_T], roles: Sequence[str]) -> tuple[tuple[_T, str], ...]:
    return tuple(zip(rng.sample(pool, len(roles)), roles, strict=True))


@lru_cache(maxsize=8)
def prompts(seed: int) -> dict[tuple[str, str], tuple[Prompt, ...]]:
    """All prompts of a world by (class, part), shuffled; parts: ``ALIGNMENT_SHARES``, `development` and `test`."""
    dealt: dict[tuple[str, str], list[Prompt]] = {}
    for prompt in _all_prompts(build_world(seed)):
        dealt.setdefault((prompt.risk, prompt.part), []).append(prompt)
    for key, group in dealt.items():
        random.Random(stable_seed("demo prompts", seed, *key)).shuffle(group)
    return {key: tuple(group) for key, group in dealt.items()}


def _all_prompts(world: World) -> Iterator[Prompt]:
    for risk in CLASSES:
        for topic, topic_role in world.topics[risk].values():
            entities = _entities(world, risk, topic)
            for index, (frame, frame_role) in enumerate(world.frames[risk]):
                rng = random.Random(stable_seed("demo persons", world.seed, risk, topic.name, index))
                for entity in entities:
                    for person in _persons(world, risk, rng):
                        text = asked(risk, topic, frame, entity, person)
                        part = _part(world.seed, topic_role, frame_role, text)
                        yield Prompt(text, part, world.seed, risk, topic.name, index, entity, person)


def _entities(world: World, risk: str, topic: Topic | FactTopic) -> Sequence[str]:
    if isinstance(topic, FactTopic):
        rng = random.Random(stable_seed("demo facts", world.seed, topic.name))
        return rng.sample(list(topic.answers), FACTS_PER_TOPIC)
    if topic.entities:
        return topic.entities
    return world.persons if risk == "IHD" else world.items


def _persons(world: World, risk: str, rng: random.Random) -> Sequence[str]:
    """People in the prompt beside its entity: none, one, or both with and without (look-alikes have fewer entities)."""
    if risk == "MHD":
        return rng.sample(world.persons, 1)
    return ("", *rng.sample(world.persons, 4)) if risk == "look_alike" else ("",)


def asked(risk: str, topic: Topic | FactTopic, frame: str, entity: str, person: str) -> str:
    """The text of a prompt."""
    act = topic.act.format(x=entity, a=with_article(entity))
    if risk == "look_alike" and person:
        act = f"{act} for my {person}"
    return frame.format(act=act, person=person or entity)


def _part(seed: int, topic_role: str, frame_role: str, text: str) -> str:
    if topic_role != frame_role:
        return "corpus"
    if topic_role != "alignment":
        return topic_role
    point = unit_interval(prompt_id(text), f"demo {seed}")
    for part, share in ALIGNMENT_SHARES.items():
        point -= share
        if point < 0:
            return part
    return "pairs"


def with_article(noun: str) -> str:
    """Put "a" or "an" before ``noun``."""
    return f"{'an' if noun[0] in 'aeio' or noun.startswith('um') else 'a'} {noun}"
