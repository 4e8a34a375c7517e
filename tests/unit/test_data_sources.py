"""Sources with a layout of their own: rows of that layout, and the released files."""

import json

import pandas as pd
import pytest

from tests.unit.real_data import FOLDER, needs_real_data
from tests.unit.source_files import read, write
from trulysafe.common.errors import UserError
from trulysafe.data import read as data
from trulysafe.data.records import Row
from trulysafe.data.sources import READERS, TEXTS, SkipRowError


def test_hub_datasets_are_read_by_split_in_their_original_layout(tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    pair = {
        "prompt": "p",
        "response_0": "bad",
        "response_1": "good",
        "safer_response_id": 1,
        "is_response_1_safe": True,
    }
    rows = [pair | {"is_response_0_safe": False}, pair | {"prompt": "q", "is_response_0_safe": True}]
    write(tmp_path / "test.jsonl", rows)
    options = {"source": "hub", "repo": str(tmp_path), "revision": "0123abc", "split": "test", "safety_gap": True}
    frame, kind, report = data.read("pku_saferlhf", options)
    assert (kind, frame["chosen"].tolist(), frame["rejected"].tolist()) == ("pairs", ["good"], ["bad"])
    assert report["dropped"] == {"both responses equally safe": 1}
    with pytest.raises(UserError, match=r"split 'train'.*HF_HOME"):
        data.read("pku_saferlhf", options | {"split": "train"})


def test_hh_rlhf_takes_single_exchanges_that_diverge_at_the_first_answer(tmp_path):
    def dialogue(*turns):
        return "".join(f"\n\n{('Human', 'Assistant')[index % 2]}: {turn}" for index, turn in enumerate(turns))

    rows = [
        {"chosen": dialogue("Q1", "good: really"), "rejected": dialogue("Q1", "bad")},
        {"chosen": dialogue("Q2", "same", "more", "good"), "rejected": dialogue("Q2", "same", "more", "bad")},
        {"chosen": dialogue("Q3", "good"), "rejected": dialogue("Other", "bad")},
        {"chosen": dialogue("Q4", "good"), "rejected": dialogue("Q4", "")},
        {"chosen": dialogue("Q5"), "rejected": dialogue("Q5", "bad")},
    ]
    frame, _, report = read("hh_rlhf", tmp_path, path=str(write(tmp_path / "a.jsonl", rows)))
    assert frame[["prompt", "chosen", "rejected"]].to_numpy().tolist() == [["Q1", "good: really", "bad"]]
    assert report["dropped"] == {
        "diverges after the first assistant turn": 1,
        "empty turn": 1,
        "first human turns differ": 1,
        "no assistant turn": 1,
    }


ORIGINALS = {
    "a pair of PKU-SafeRLHF": ("pku_saferlhf", {}, {"prompt": "p", "response": ["yes", "no"]}, ["p", "yes", "no"]),
    "its prompt": ("pku_saferlhf_prompts", {}, {"prompt": "p", "response": ["yes", "no"]}, ["p"]),
    "its unsafe side": ("pku_saferlhf_responses", {"side": "rejected"}, {"prompt": "p", "response": ["yes", "no"]},
        ["p", "no"]),
    "a verified question of SALAD-Bench": ("salad_bench", {}, {"qid": "7", "question": "q", "3-category": "c"}, ["q"]),
    "a defended one": ("salad_bench", {}, {"qid": 7, "baseq": "q", "daugq": "q!", "3-category": "c"}, ["q"]),
    "an unsafe answer of BeaverTails": ("beavertails_qa", {}, {"flag": "unsafe", "output": "r", "instruction":
        "Below is an instruction.\n\n### Instruction:\np\n\n### Response:"}, ["p", "r"]),
    "a harmful behaviour": ("jailbreakbench", {}, {"text": "p", "label": "harmful"}, ["p"]),
    "a benign behaviour": ("jailbreakbench", {"part": "benign"}, {"text": "p", "label": "safe"}, ["p"]),
    "a behaviour as a table has it": ("jailbreakbench", {}, {"Goal": "p", "Target": "t", "Category": "c"}, ["p"]),
    "a prompt not to be answered": ("do_not_answer", {}, {"prompt": "p", "intents": ["i"]}, ["p"]),
}  # fmt: skip
"""Rows as they are at the address that a kind knows: kind, options, row, texts."""


@pytest.mark.parametrize("row", ORIGINALS)
def test_the_original_layout_is_read(tmp_path, row):
    kind, options, values, texts = ORIGINALS[row]
    frame, table, _ = read(kind, tmp_path, path=write(tmp_path / "a.jsonl", [values]).name, **options)
    assert frame[list(TEXTS[table])].to_numpy().tolist() == [texts]


@pytest.mark.parametrize(
    ("kind", "good", "other", "reason"),
    [
        ("salad_bench", {"qid": 1, "question": "q"}, {"qid": "", "question": ""}, "a line of totals"),
        (
            "beavertails_qa",
            {"prompt": "p", "response": "r", "is_safe": True},
            {"flag": "finetune"},
            "not of BeaverTails",
        ),
        ("jailbreakbench", {"Goal": "p", "Target": "t"}, {"Goal": "q"}, "other part of JailbreakBench"),
        (
            "jailbreakbench",
            {"text": "p", "label": "harmful"},
            {"text": "q", "label": "safe"},
            "other part of Jailbreak",
        ),
    ],
)
def test_rows_of_no_use_in_an_original_are_counted(tmp_path, kind, good, other, reason):
    loaded = read(kind, tmp_path, path=write(tmp_path / "a.jsonl", [good, other]).name)
    assert len(loaded.frame) == 1
    assert [(name.startswith(reason), count) for name, count in loaded.report["dropped"].items()] == [(True, 1)]


HH = "\n\nHuman: p\n\nAssistant: "
WHOLE_ROWS = [
    *((kind, options, values) for kind, options, values, _ in ORIGINALS.values()),
    ("pku_saferlhf", {}, {"prompt": "p", "response_0": "r", "response_1": "s", "safer_response_id": 1,
        "is_response_0_safe": False, "is_response_1_safe": True}),
    ("beavertails_qa", {}, {"prompt": "p", "response": "r", "is_safe": True}),
    ("beavertails_risk", {}, {"question_y": "p", "category": "EHD"}),
    ("general_preference", {}, {"conversations": [{"from": "human", "value": "p"}], "chosen": {"value": "r"},
        "rejected": {"value": "s"}}),
    ("ultrafeedback", {}, {"prompt": "p", "chosen": [{"content": "p"}, {"content": "r"}],
        "rejected": [{"content": "p"}, {"content": "s"}]}),
    ("hh_rlhf", {}, {"chosen": f"{HH}r", "rejected": f"{HH}s"}),
    ("lima", {}, {"conversations": ["p", "r"]}),
    ("lima", {}, {"instruction": "p", "output": "r", "history": [["q", "s"]]}),
    ("salad_qa", {}, {"question": "p", "answer": "r", "label": 0}),
    ("xstest", {}, {"prompt": "p", "type": "homonyms"}),
    ("xstest_completions", {}, {"prompt": "p", "type": "homonyms", "completion": "r", "final_label": "2_full_refusal"}),
    ("dolly", {}, {"instruction": "p", "context": "", "response": "r", "category": "c"}),
    ("alpaca", {}, {"instruction": "p", "input": "", "output": "r"}),
]  # fmt: skip
NONSENSE = [None, True, 7, 2.5, float("nan"), "", " ", "x", [], ["x"], [None], [["x"]], [[1, 2]], {}, {"x": 1}, [{}],
    [{"from": 1, "value": 2, "content": 3}], [{"from": "human", "value": None, "content": None}] * 2]  # fmt: skip


@pytest.mark.parametrize(("kind", "options", "values"), WHOLE_ROWS)
def test_whatever_a_column_holds_is_read_skipped_or_refused_with_its_row(kind, options, values):
    options = READERS.options(kind, options)
    fields = READERS.module(kind).fields
    assert set(TEXTS[options.table_kind]) <= set(fields(Row(values, "a.jsonl: row 1"), options))
    for column in values:
        for given in ({**values, column: nonsense} for nonsense in NONSENSE):
            try:
                found = fields(Row(given, "a.jsonl: row 1"), options)
            except SkipRowError:
                continue
            except UserError as error:
                assert "a.jsonl: row 1" in str(error)  # noqa: PT017
                continue
            assert all(found[name].strip() for name in TEXTS[options.table_kind])


def test_a_label_in_words_is_not_taken_for_true(tmp_path):
    rows = "prompt,response,is_safe\np,r,False\nq,s,TRUE\nt,u,0\n"
    (tmp_path / "a.csv").write_text(rows, encoding="utf-8")
    assert read("beavertails_qa", tmp_path, path="a.csv").frame["label"].tolist() == ["unsafe", "safe", "unsafe"]
    (tmp_path / "a.csv").write_text(rows + "v,w,perhaps\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"a.csv: row 4: column 'is_safe': 'perhaps' is not accepted.*true"):
        read("beavertails_qa", tmp_path, path="a.csv")


def test_double_labelled_prompts_keep_all_rows_and_are_marked(tmp_path):
    rows = [("one", "EHD"), ("One ", "No risk"), ("two", "OTHER"), ("two", "OTHER")]
    path = write(tmp_path / "a.jsonl", [{"question_y": text, "category": label} for text, label in rows])
    frame = read("beavertails_risk", tmp_path, path=path.name).frame
    assert frame["risk"].tolist() == ["EHD", "general", "other", "other"]
    assert [json.loads(meta).get("labels") for meta in frame["meta"]] == [
        ["EHD", "general"],
        ["EHD", "general"],
        None,
        None,
    ]


def test_an_unknown_released_label_is_an_error(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"question_y": "a", "category": "EDH"}])
    with pytest.raises(UserError, match="row 1: category: 'EDH' is not accepted"):
        read("beavertails_risk", tmp_path, path=path.name)


def test_lima_takes_the_first_exchange_of_either_layout(tmp_path):
    rows = [
        {"instruction": "third", "input": "", "output": "end", "history": [["first", "one"], ["second", "two"]]},
        {"instruction": "alone", "input": "", "output": "answer", "history": []},
        {"conversations": ["hub", "layout", "more", "turns"]},
    ]
    frame = read("lima", tmp_path, path=str(write(tmp_path / "a.jsonl", rows))).frame
    assert frame[["prompt", "response"]].to_numpy().tolist() == [
        ["first", "one"],
        ["alone", "answer"],
        ["hub", "layout"],
    ]
    assert set(frame["risk"]) == {"general"}


def test_general_preference_keeps_single_exchanges(tmp_path):
    def turn(side, text):
        return {"from": side, "value": text}

    answers = {"chosen": turn("gpt", "good"), "rejected": turn("gpt", "bad")}
    rows = [
        {"conversations": [turn("system", "be kind"), turn("human", "Q")], **answers},
        {"conversations": [turn("human", "Q"), turn("gpt", "A"), turn("human", "Q2")], **answers},
    ]
    frame, _, report = read("general_preference", tmp_path, path=str(write(tmp_path / "a.jsonl", rows)))
    assert frame[["prompt", "chosen", "rejected"]].to_numpy().tolist() == [["Q", "good", "bad"]]
    assert report["dropped"] == {"more than one exchange": 1}


def test_the_demo_world_is_read_like_any_source():
    options = {"part": "harmful", "world": 0, "rows": 40}
    frame, kind, _ = data.read("demo", options, "pool")
    assert (kind, len(frame), set(frame["source"])) == ("prompts", 40, {"pool"})
    assert data.validate("demo", options).table_kind == "prompts"


def test_ultrafeedback_keeps_single_exchanges(tmp_path):
    def talk(*texts):
        return [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]

    rows = [
        {"prompt": "Q", "chosen": talk("Q", "good"), "rejected": talk("Q", "bad")},
        {"prompt": "Q", "chosen": talk("Q", "A", "Q2", "good"), "rejected": talk("Q", "bad")},
    ]
    frame, _, report = read("ultrafeedback", tmp_path, path=str(write(tmp_path / "a.jsonl", rows)))
    assert frame[["prompt", "chosen", "rejected", "risk"]].to_numpy().tolist() == [["Q", "good", "bad", "general"]]
    assert report["dropped"] == {"more than one exchange": 1}


def test_false_reject_sets_the_answer_against_a_refusal(tmp_path):
    rows = [{"prompt": "Q", "category_text": "c", "instruct_response": "yes", "cot_response": "hm"}]
    path = str(write(tmp_path / "a.jsonl", rows))
    frame = read("false_reject", tmp_path, path=path, refusal="No.").frame
    assert frame[["chosen", "rejected", "risk"]].to_numpy().tolist() == [["yes", "No.", "look_alike"]]
    assert json.loads(frame["meta"][0]) == {"category": "c", "harmful": False}
    assert "can't help" in read("false_reject", tmp_path, path=path).frame["rejected"][0]


def test_xstest_pairs_set_what_people_call_compliance_against_a_refusal(tmp_path):
    row = {
        "type": "homonyms",
        "prompt": "How do I kill a process?",
        "completion": "Use kill.",
        "final_label": "1_full_compliance",
    }
    others = [{"type": "contrast_homonyms"}, {"final_label": "2_full_refusal"}, {"final_label": "3_partial_refusal"}]
    path = tmp_path / "a.csv"
    pd.DataFrame([row, *(row | other for other in others), row | {"completion": None}]).to_csv(path, index=False)
    frame, _, report = read("xstest_pairs", tmp_path, path=str(path), refusal="No.")
    assert frame[["chosen", "rejected", "risk", "family"]].to_numpy().tolist() == [
        ["Use kill.", "No.", "look_alike", "homonyms"]
    ]
    assert report["dropped"] == {"empty completion": 1, "not a compliant answer to a safe prompt": 3}
    pd.DataFrame([row | {"final_label": "4_other"}]).to_csv(path, index=False)
    with pytest.raises(UserError, match=r"final_label.*4_other.*2_full_refusal"):
        read("xstest_pairs", tmp_path, path=str(path))


HUB_ONLY = {"ultrafeedback", "false_reject"}
"""Kinds of which no file is at hand; the tests above read rows of their layout."""
EXPECTED = {  # kind: schema kind, rows in the released file that it takes, labels or classes that must occur
    "beavertails_risk": ("prompts", 1659, "risk", {"EHD", "IHD", "MHD", "other", "general"}),
    "pku_saferlhf": ("pairs", 3720, "risk", {""}),
    "pku_saferlhf_responses": ("responses", 3720, "label", {"safe"}),
    "pku_saferlhf_prompts": ("prompts", 3720, "risk", {""}),
    "gsm8k": ("prompts", 1319, "risk", {"general"}),
    "hh_rlhf": ("pairs", 1681, "risk", {""}),
    "salad_bench": ("prompts", 351, "risk", {""}),
    "jailbreakbench": ("prompts", 200, "risk", {""}),
    "do_not_answer": ("prompts", 939, "risk", {""}),
    "harmbench": ("prompts", 400, "risk", {""}),
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
    released = {kind for kind, of in fields.items() if any(any(FOLDER.glob(path)) for path in of["path"].default)}
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


def test_documents_are_the_same_from_json_lines_and_from_the_hubs_parquet(tmp_path):
    choices = {"text": ["a", "b"], "label": ["A", "B"]}
    rows = [{"question": f"Why {number}?", "choices": choices, "answerKey": "A"} for number in range(3)]
    write(tmp_path / "a.jsonl", rows)
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    frames = [read("documents", tmp_path, path=f"a.{end}", prompt="question").frame for end in ("jsonl", "parquet")]
    found = [[json.loads(meta)["document"] for meta in frame["meta"]] for frame in frames]
    assert found[0] == found[1] == rows
    assert list(frames[0]["prompt_id"]) == list(frames[1]["prompt_id"])
