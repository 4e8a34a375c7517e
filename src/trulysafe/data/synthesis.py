"""What every kind of synthesised data set is made of: its options, and what it wants written.

Such a kind is a reader whose prompts are written, not read. Its module holds ``Options`` (of
:class:`SynthesisOptions`) and a function ``asks`` that turns seed prompts (a table of schema ``prompts``) into
:class:`Ask`, one for each prompt that is wanted: what a language model is told, or the text itself where a function
writes it. All else (asking, strict reading, counts, ids) is done once, in :mod:`trulysafe.synthesis.synthesise`.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from pydantic import Field, StrictInt

from trulysafe.common.errors import UserError
from trulysafe.common.kinds import Frame
from trulysafe.common.options import Count
from trulysafe.data.descent import DESCENT
from trulysafe.data.sources import Fields, Most, ReaderOptions


class SynthesisOptions(ReaderOptions):
    """Options of every kind of synthesised data set."""

    TABLE = "prompts"
    NEEDS: ClassVar[tuple[str, ...]] = ("datasets",)

    rows: Most = Field(description="Prompts to ask for, at most.")
    seed: StrictInt = Field(0, description="Another seed chooses and joins other seed prompts.")

    @property
    def asks_model(self) -> bool:
        """Whether a language model writes any of the prompts."""
        return False


class AskingOptions(SynthesisOptions):
    """Options of kinds whose prompts a language model writes."""

    attempts: Count = Field(3, description="Times that the model is asked for a prompt, at most.")

    @property
    def asks_model(self) -> bool:
        """Whether a language model writes any of the prompts."""
        return True


class Ask(NamedTuple):
    """One prompt that is wanted."""

    group: str
    """What it is counted under: the name of a family."""
    seeds: tuple[Fields, ...]
    """Rows of the prompts that it descends from."""
    fields: Fields
    """``risk`` and ``meta`` of its row."""
    system: str = ""
    shown: tuple[str, str] = ("", "")
    """An example of what is asked and answered, as an earlier turn of the conversation: models that are weak at JSON
    follow it better than words about it."""
    user: str = ""
    apart: tuple[str, ...] = ()
    """Texts that the answer must not repeat."""
    carries_seed: bool = False
    """Whether the answer may hold its seed word for word, with more around it."""
    text: str = ""
    """The prompt itself where a function writes it; then nobody is asked."""


def seed_rows(seeds: Frame, seed: int, risk: str = "") -> list[Fields]:
    """Seed prompts, each once, in the order of their hashes under ``seed``; of one ``risk`` class alone where it is
    given. A prompt that was given several classes is no seed.

    UserError: no seed is left; it names the data sets and the classes that they hold.
    """
    from trulysafe.common.ids import unit_interval
    from trulysafe.common.schema import UNLABELLED

    clear = seeds[seeds.groupby("prompt_id")["risk"].transform("nunique") == 1].drop_duplicates("prompt_id")
    found = clear[clear["risk"] == risk] if risk else clear
    if found.empty:
        classes = ", ".join(f"{count} {name or UNLABELLED}" for name, count in clear["risk"].value_counts().items())
        do = "Name data sets whose source gives classes under `datasets`, or set the option `risk` of one."
        names = ", ".join(sorted(set(seeds["source"]))) or "the data sets"
        raise UserError(
            f"{names}: no seed prompt{f' of class {risk}' if risk else ''}. Found: {classes or 'none'}. {do}"
        )
    order = found["prompt_id"].map(lambda identifier: unit_interval(identifier, f"synthesis {seed}"))
    rows: list[Any] = found.loc[order.sort_values(kind="stable").index].to_dict("records")
    return rows


def class_pairs(seeds: Frame, options: SynthesisOptions) -> list[tuple[Fields, Fields]]:
    """Pairs of an explicit and an implicit seed, at most ``options.rows``. Each seed is in one pair alone, so that the
    groups of the split, which descent joins, stay small. UserError: a class has no seed."""
    sides = (seed_rows(seeds, options.seed, risk) for risk in ("EHD", "IHD"))
    return list(zip(*sides, strict=False))[: options.rows]


def quoted(text: str) -> str:
    """A text as it is shown to a model: a JSON string, so that it cannot pass for the turn around it."""
    return json.dumps(text, ensure_ascii=False)


def answer(prompt: str) -> str:
    """A prompt in the form in which models answer."""
    return json.dumps({"prompt": prompt}, ensure_ascii=False)


def record(ask: Ask, text: str) -> Fields:
    """The row of a prompt that was written. It is of the resampling family of its first seed, and its ``meta`` names
    all of them."""
    from trulysafe.common.ids import prompt_id

    first, given = ask.seeds[0], dict(ask.fields)
    meta: Mapping[str, Any] = {**given.pop("meta", {}), DESCENT: [seed["prompt_id"] for seed in ask.seeds]}
    known = {"family": first["family"], **given, "meta": json.dumps(meta, sort_keys=True, ensure_ascii=False)}
    return {"prompt_id": prompt_id(text), "prompt": text, **known}
