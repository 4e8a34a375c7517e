"""Kinds: a module per kind, found by its name, loaded alone, with options of its own."""

from __future__ import annotations

import sys
from typing import ClassVar

import pytest
from pydantic import ValidationError

from trulysafe.common.errors import UserError
from trulysafe.common.kinds import Kinds, OfKind
from trulysafe.common.options import Table

PLAIN = """
from trulysafe.common.kinds import Options as Base

class Options(Base):
    rows: int
    share: float = 0.5
"""


@pytest.fixture
def room(tmp_path, monkeypatch):
    folder = tmp_path / "room_of_kinds"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""A room."""\n', encoding="utf-8")
    (folder / "plain.py").write_text(PLAIN, encoding="utf-8")
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
    assert room.names == ("broken", "plain")
    assert room.options("plain", {"rows": 3}).model_dump() == {"rows": 3, "share": 0.5}
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
    assert thing.model_dump() == {"kind": "plain", "options": {"rows": 3, "share": 0.5}}
    assert Thing.model_validate(thing.model_dump()) == thing
    assert Thing.model_validate(thing) == thing
