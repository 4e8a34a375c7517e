"""Kinds: a module per kind, found by its name, loaded alone, with options of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError

from trulysafe.common.errors import UserError
from trulysafe.common.kinds import Kinds, OfKind
from trulysafe.common.option_errors import explain
from trulysafe.common.options import Table

PLAIN = """
from trulysafe.common.kinds import Options as Base
from trulysafe.common.options import Table

class Inner(Table):
    deep: int = 0

class Options(Base):
    rows: int
    share: float = 0.5
    inner: Inner = Inner()
"""
NEEDY = """
from typing import ClassVar
from trulysafe.common.kinds import Options as Base

class Options(Base):
    NEEDS: ClassVar = ("datasets",)
    READS: ClassVar = ("llm",)
"""


@pytest.fixture
def room(tmp_path, monkeypatch):
    folder = tmp_path / "room_of_kinds"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""A room."""\n', encoding="utf-8")
    (folder / "plain.py").write_text(PLAIN, encoding="utf-8")
    (folder / "needy.py").write_text(NEEDY, encoding="utf-8")
    (folder / "broken.py").write_text("raise RuntimeError('loaded')\n", encoding="utf-8")
    (folder / "_helper.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield Kinds("room_of_kinds", "a thing")
    for name in [name for name in sys.modules if name.split(".")[0] == "room_of_kinds"]:
        del sys.modules[name]


def errors(room: Kinds, given: dict) -> list[tuple]:
    class Thing(OfKind):
        KINDS: ClassVar = room

    class Things(Table):
        things: dict[str, Thing]

    with pytest.raises(ValidationError) as caught:
        Things.model_validate({"things": {"one": given}})
    return [(item["loc"], item["type"]) for item in caught.value.errors()]


def test_a_kind_is_found_by_its_name_and_loaded_alone(room):
    assert room.names == ("broken", "needy", "plain")
    assert room.options("plain", {"rows": 3}).model_dump() == {"rows": 3, "share": 0.5, "inner": {"deep": 0}}
    assert "room_of_kinds.broken" not in sys.modules
    with pytest.raises(UserError, match=r"kind of a thing: 'plian' is not accepted\. Did you mean 'plain'"):
        room.module("plian")


def test_options_are_refused_at_their_own_key(room):
    place = ("things", "one", "options")
    assert errors(room, {"kind": "plain", "options": {"rows": "many", "shaer": 1}}) == [
        ((*place, "rows"), "int_parsing"),
        ((*place, "shaer"), "extra_forbidden"),
    ]
    assert errors(room, {"kind": "plain"}) == [((*place, "rows"), "missing")]
    assert errors(room, {"kind": "plian", "options": {"rows": 3}}) == [(("things", "one", "kind"), "kind")]


def test_a_component_survives_being_written_and_read(room):
    class Thing(OfKind):
        KINDS: ClassVar = room

    thing = Thing.model_validate({"kind": "plain", "options": {"rows": 3}})
    assert thing.model_dump() == {"kind": "plain", "options": {"rows": 3, "share": 0.5, "inner": {"deep": 0}}}
    assert Thing.model_validate(thing.model_dump()) == thing
    assert Thing.model_validate(thing) == thing


@pytest.fixture
def explained(room):
    """What is said about a component of two sound kinds, as a line per mistake."""
    (Path(sys.path[0]) / "room_of_kinds" / "broken.py").unlink()

    class Thing(OfKind):
        KINDS: ClassVar = Kinds(room.room, room.what)
        BY_KIND: ClassVar = ("datasets", "llm")
        datasets: list[str] = []  # noqa: RUF012
        llm: str | None = None
        seed: int = 0

    class Things(Table):
        things: dict[str, Thing]

    def said(**given):
        try:
            Things.model_validate({"things": {"one": given}})
        except ValidationError as error:
            return [explain(item) for item in error.errors()]
        return []

    return said


def test_an_unknown_option_and_kind_are_named_with_those_that_there_are(explained):
    assert explained(kind="plain", options={"rows": 1, "shaer": 1, "inner": {"dep": 1}}) == [
        (
            "things.one.options.inner.dep: unknown key. Did you mean 'deep'? Accepted: deep. config/README.md explains "
            "them."
        ),
        (
            "things.one.options.shaer: unknown key. Did you mean 'share'? Accepted: inner, rows, share. "
            "config/README.md explains them."
        ),
    ]
    assert explained(kind="plian") == [
        "things.one.kind: 'plian' is not accepted. Did you mean 'plain'? Accepted: needy, plain."
    ]
    assert explained(kind="plain", options={"rows": "x"}) == [
        "things.one.options.rows: 'x' is not accepted. Accepted: a whole number."
    ]


def test_a_kind_says_which_keys_beside_its_options_it_needs_and_reads(explained):
    assert explained(kind="plain", options={"rows": 1}, seed=3) == []
    assert explained(kind="needy", datasets=["a"], llm="b", seed=3) == []
    assert explained(kind="needy", datasets=["a"], llm=None) == []
    assert explained(kind="needy") == ["things.one.datasets: missing. The kind 'needy' needs it."]
    assert explained(kind="plain", options={"rows": 1}, llm="b") == [
        (
            "things.one.llm: only the kind 'needy' reads it, not 'plain'. Leave it out (null in an overlay), or choose "
            "another kind."
        )
    ]
