"""The released files of public data sets, where they are at hand, read whole."""

import json

import pytest

from tests.unit.real_data import FOLDER, needs_real_data
from trulysafe.data import read as data
from trulysafe.data.sources import READERS

HUB_ONLY = {"ultrafeedback", "false_reject", "or_bench", "wildchat_risk"}
"""Kinds of which no file is at hand; the tests above read rows of their layout."""
EXPECTED = {  # kind: schema kind, rows in the released file that it takes, labels or classes that must occur
    "beavertails_risk": ("prompts", 1659, "risk", {"EHD", "IHD", "MHD", "other", "general"}),
    "pku_saferlhf": ("pairs", 3720, "risk", {""}),
    "pku_saferlhf_responses": ("responses", 3720, "label", {"safe"}),
    "pku_saferlhf_prompts": ("prompts", 3720, "risk", {""}),
    "gsm8k": ("prompts", 1319, "risk", {"general"}),
    "humaneval": ("prompts", 164, "risk", {"general"}),
    "hh_rlhf": ("pairs", 1681, "risk", {""}),
    "salad_bench": ("prompts", 351, "risk", {""}),
    "jailbreakbench": ("prompts", 200, "risk", {""}),
    "do_not_answer": ("prompts", 939, "risk", {""}),
    "harmbench": ("prompts", 400, "risk", {""}),
    "advbench": ("prompts", 520, "risk", {""}),
    "simple_safety_tests": ("prompts", 100, "risk", {""}),
    "strongreject": ("prompts", 313, "risk", {""}),
    "twins": ("prompts", 150, "risk", {"look_alike"}),
    "xstest": ("prompts", 220, "risk", {"", "look_alike"}),
    "xstest_completions": ("responses", 1100, "label", {"complies", "refuses", "mixed"}),
    "xstest_pairs": ("pairs", 1100, "risk", {"look_alike"}),
    "beavertails_qa": ("responses", 133, "label", {"unsafe"}),
    "salad_qa": ("responses", 61, "label", {"safe", "unsafe"}),
    "pku_safe_sft": ("responses", 3652, "label", {"safe"}),
    "alpaca": ("responses", 999, "risk", {"general"}),
    "lima": ("responses", 1029, "risk", {"general"}),
    "dolly": ("responses", 1000, "risk", {"general"}),
    "general_preference": ("pairs", 300, "risk", {"general"}),
    "alpaca_eval": ("prompts", 805, "risk", {"general"}),
}


@needs_real_data
def test_every_source_with_a_released_file_is_expected():
    fields = {kind: READERS.module(kind).Options.model_fields for kind in READERS.names if kind != "demo"}
    files = {kind: of["path"].default for kind, of in fields.items() if "path" in of}  # others are written by a model
    released = {kind for kind, paths in files.items() if any(any(FOLDER.glob(path)) for path in paths)}
    assert set(EXPECTED) == released
    assert not released & HUB_ONLY


@needs_real_data
@pytest.mark.parametrize("kind", EXPECTED)
def test_the_real_file_reads_whole(kind):
    schema_kind, rows, column, values = EXPECTED[kind]
    frame, found, report = data.read(kind, {"folder": str(FOLDER)})
    assert (found, report["read"], set(frame[column])) == (schema_kind, rows, values)
    assert len(frame) == rows - sum(report["dropped"].values()) > 0
    assert (frame["family"] != "").all()


@needs_real_data
def test_the_real_double_labels():
    frame = data.read("beavertails_risk", {"folder": str(FOLDER)}).frame
    doubled = frame[frame["meta"].str.contains('"labels"')]
    assert doubled["prompt_id"].nunique() == 78


@needs_real_data
def test_every_gsm8k_question_has_a_number_for_an_answer():
    frame = data.read("gsm8k", {"folder": str(FOLDER)}).frame
    answers = [json.loads(meta)["answer"] for meta in frame["meta"]]
    assert all(answer.lstrip("-").replace(".", "").isdigit() for answer in answers)


@needs_real_data
def test_harmbench_categories_are_chosen():
    loaded = data.read("harmbench", {"folder": str(FOLDER), "categories": ["standard"]})
    assert len(loaded.frame) == 200
    assert loaded.report["dropped"] == {"functional category contextual": 100, "functional category copyright": 100}
