"""Fingerprints of code: what is imported, without its documentation."""

from pathlib import Path

import pytest

from trulysafe.data.sources import READERS
from trulysafe.workflow.fingerprint import closure, fingerprint

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "workflow/scripts").glob("*.py"))
HELPERS = {
    "_own_files": ("csv", "hub", "json", "jsonl", "parquet"),
    "_equilibrate_labels": ("beavertails_risk", "wildchat_risk"),
    "_hh_turns": ("hh_red_team", "hh_rlhf"),
    "_xstest": ("xstest", "xstest_completions", "xstest_pairs"),
    "_pku_saferlhf": ("pku_saferlhf", "pku_saferlhf_prompts", "pku_saferlhf_responses"),
    "_characters": ("adversarial_prompts",),
}
"""What readers share -> the kinds that share it."""


def test_fingerprint_sees_code_and_not_documentation(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        '"""Doc."""\nfrom trulysafe.methods.losses import dpo_margin\n\ndef f():\n    """Doc."""\n    return 1\n',
        encoding="utf-8",
    )
    first = fingerprint(script)
    other = tmp_path / "other.py"
    other.write_text(
        '"""Other."""\nfrom trulysafe.methods.losses import dpo_margin  # why\n\n\ndef f():\n    return 1\n',
        encoding="utf-8",
    )
    assert fingerprint(other) == first
    changed = tmp_path / "changed.py"  # a file is parsed once a process
    changed.write_text(other.read_text(encoding="utf-8").replace("return 1", "return 2"), encoding="utf-8")
    assert fingerprint(changed) != first


def test_the_description_of_an_option_is_documentation_and_its_default_is_not(tmp_path):
    def of(name, field):
        path = tmp_path / f"{name}.py"
        path.write_text(f"class Options(Base):\n    rows: int = {field}\n", encoding="utf-8")
        return fingerprint(path)

    first = of("first", 'Field(3, ge=1, description="Rows.")')
    assert of("reworded", 'Field(3, ge=1, description="Rows of a file.")') == first
    assert of("changed", 'Field(4, ge=1, description="Rows.")') != first
    assert of("bounded", 'Field(3, ge=2, description="Rows.")') != first


def test_the_data_beside_a_module_is_code(tmp_path):
    def of(name, data):
        (tmp_path / f"{name}.py").write_text("WORDS = read()\n", encoding="utf-8")
        (tmp_path / f"{name}.toml").write_text(data, encoding="utf-8")
        return fingerprint(tmp_path / f"{name}.py")

    first = of("first", "words = ['one']\n")
    assert of("explained", "# Why.\nwords = [\n    'one',\n]\n") == first
    assert of("changed", "words = ['one', 'two']\n") != first


def test_the_layout_of_a_page_is_code_and_a_model_card_is_none(tmp_path):
    (tmp_path / "page.py").write_text("LAYOUT = read()\n", encoding="utf-8")
    (tmp_path / "page.html").write_text("<p>One</p>", encoding="utf-8")
    first = fingerprint(tmp_path / "page.py")
    (tmp_path / "other.py").write_text("LAYOUT = read()\n", encoding="utf-8")
    (tmp_path / "other.html").write_text("<p>Two</p>", encoding="utf-8")
    assert fingerprint(tmp_path / "other.py") != first
    files = {name: closure(path) for path in SCRIPTS if (name := path.stem) in ("train", "costs")}
    assert (ROOT / "src/trulysafe/report/page.py") in files["costs"]
    assert (ROOT / "src/trulysafe/methods/words.py") not in files["train"]  # what a card says trains nothing anew


def test_the_demo_is_made_anew_when_its_words_change():
    (lexicon,) = (path for path in closure("trulysafe.data.readers.demo") if path.stem == "lexicon")
    assert lexicon.with_suffix(".toml").is_file()


def test_closure_is_what_is_imported_and_no_more():
    names = {path.stem for path in closure("trulysafe.models.sampling")}
    assert {"sampling", "tokens", "ids"} <= names
    assert not {"preference", "masks", "fit", "workflow", "errors"} & names


def readers(files):
    return {path.stem for path in files if path.parent.name == "readers"} - {"__init__"}


def demo_world(files):
    return {path.stem for path in files if path.parent.name == "demo"} - {"__init__"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_fingerprinted_without_the_readers_of_datasets(script):
    assert readers(closure(script)) == set()


@pytest.mark.parametrize("kind", READERS.names)
def test_a_dataset_is_read_again_when_its_own_reader_changes_and_no_other(kind):
    files = closure(next(path for path in SCRIPTS if path.stem == "normalise"), READERS.module_name(kind))
    assert readers(files) == {kind, *(helper for helper, kinds in HELPERS.items() if kind in kinds)}
    assert bool(demo_world(files)) == (kind in ("demo", "demo_mixed_prompts"))


@pytest.mark.parametrize("stem", ["answer", "choose"])
def test_plain_answers_depend_on_no_reward_and_no_steering(stem):
    script = next(path for path in SCRIPTS if path.stem == stem)
    assert not {path for path in closure(script) if path.parent.name == "reward" or path.stem in ("acting", "steering")}
    assert {"acting", "steering"} <= {path.stem for path in closure(script, "trulysafe.evaluate.acting")}


def test_roles_are_given_and_taken_without_reading_sources():
    for script in ("split", "leakage", "label_prompts", "train_base"):
        names = {path.stem for path in closure(next(path for path in SCRIPTS if path.stem == script))}
        assert not {"read", "records", "sources"} & names, script
