"""config/README.md is generated from the typed configuration and says everything that it knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from trulysafe.config import tables
from trulysafe.data.sources import READERS
from trulysafe.methods.method import Confidence, Mask
from trulysafe.tools.config_reference import options as options_reference
from trulysafe.tools.config_reference.__main__ import anchor, reference

ROOT = Path(__file__).resolve().parents[2]
TABLES = [
    item
    for item in vars(tables).values()
    if isinstance(item, type) and issubclass(item, tables.Table) and item is not tables.Table
]


@pytest.fixture(scope="module")
def text() -> str:
    return reference(yaml.safe_load((ROOT / "config/demo.yaml").read_text(encoding="utf-8")))


def test_committed_reference_is_up_to_date(text: str) -> None:
    assert (ROOT / "config/README.md").read_text(encoding="utf-8") == text, "run make docs"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_every_key_is_there_with_a_meaning(table: type[tables.Table], text: str) -> None:
    assert table.__doc__
    for name, field in table.model_fields.items():
        assert field.description, f"{table.__name__}.{name} has no description"
        assert f"| `{name}` |" in text
        assert field.description.replace("|", "\\|") in text


def test_links_within_the_page_resolve(text: str) -> None:
    headings = {anchor(title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


@pytest.mark.parametrize("kind", READERS.names)
def test_every_kind_of_dataset_is_listed_with_a_meaning_and_with_its_options(kind: str, text: str) -> None:
    reader = READERS.module(kind)
    assert reader.__doc__
    assert f"| `{kind}` |" in text
    for name, field in reader.Options.model_fields.items():
        assert field.description, f"{kind}, option {name}"
        assert f"`{field.alias or name}`" in text


@pytest.mark.parametrize("table", [Confidence, Mask])
def test_every_option_of_a_method_is_described(table: type) -> None:
    described = options_reference.described(table.__doc__ or "", "Attributes")
    assert list(described) == list(table.__dataclass_fields__)
    assert all(described.values())


def test_options_of_the_reward_fit_are_read_without_importing_it() -> None:
    rows = {row[0]: row for row in options_reference.arguments("reward/fit.py", "fit_hybrid_reward")}
    assert rows["`two_stage`"][1:3] == ("`true`, `false`", "`false`")
    assert "`feature`" in rows["`standardise`"][3]
    assert "`seed`" not in rows
