"""Sources with a layout of their own: rows of that layout."""

import json

import pandas as pd
import pytest

from tests.unit.source_files import read, write
from tests.unit.source_rows import ORIGINALS
from trulysafe.common.errors import UserError
from trulysafe.data import read as data
from trulysafe.data.sources import TEXTS


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


def test_pku_pairs_are_of_safety_or_of_helpfulness(tmp_path):
    row = {
        "prompt": "p", "response_0": "frank and harmful", "response_1": "curt and safe",
        "safer_response_id": 1, "better_response_id": 0, "is_response_0_safe": False, "is_response_1_safe": True,
    }  # fmt: skip
    options = {"path": write(tmp_path / "pairs.jsonl", [row]).name}
    for prefer, chosen in (("safer", "curt and safe"), ("better", "frank and harmful")):
        frame, *_ = read("pku_saferlhf", tmp_path, prefer=prefer, **options)
        assert frame["chosen"].tolist() == [chosen]
    write(tmp_path / "pairs.jsonl", [row | {"better_response_id": 2}])
    with pytest.raises(UserError, match=r"better_response_id.*'2' is not accepted"):
        read("pku_saferlhf", tmp_path, prefer="better", **options)
    write(tmp_path / "pairs.jsonl", [{"prompt": "p", "chosen": "a", "rejected": "b"}])
    with pytest.raises(UserError, match="it has no better_response_id, so it says nothing of helpfulness"):
        read("pku_saferlhf", tmp_path, prefer="better", **options)


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


def test_documents_are_the_same_from_json_lines_and_from_the_hubs_parquet(tmp_path):
    choices = {"text": ["a", "b"], "label": ["A", "B"]}
    rows = [{"question": f"Why {number}?", "choices": choices, "answerKey": "A"} for number in range(3)]
    write(tmp_path / "a.jsonl", rows)
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    frames = [read("documents", tmp_path, path=f"a.{end}", prompt="question").frame for end in ("jsonl", "parquet")]
    found = [[json.loads(meta)["document"] for meta in frame["meta"]] for frame in frames]
    assert found[0] == found[1] == rows
    assert list(frames[0]["prompt_id"]) == list(frames[1]["prompt_id"])
