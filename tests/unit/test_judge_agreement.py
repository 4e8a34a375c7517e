"""Judges beside the main judge: hand-counted tables, and the demo's keyword judge against its oracle."""

from __future__ import annotations

import json
import random

import numpy as np
import pandas as pd
import pytest

from tests.unit.few_verdicts import AXES, table
from trulysafe.data.demo.oracle import respond
from trulysafe.data.demo.tables import table as demo_table
from trulysafe.data.demo.world import prompts
from trulysafe.evaluate.contrasts import JUDGE_COLUMNS as COLUMNS
from trulysafe.evaluate.contrasts import judge_agreement
from trulysafe.judges import keywords, oracle


def test_agreement_and_kappa_are_counted_on_the_outcome_of_the_axis() -> None:
    mine = ["refuses", "safe_completion", "complies", "complies", "mixed"]
    theirs = ["safe_completion", "refuses", "complies", "refuses", "malformed"]  # differ in outcome once
    both = [
        table([("harm", "EHD", verdict, None) for verdict in verdicts], judge=judge)
        for judge, verdicts in (("oracle", mine), ("phrases", theirs))
    ]
    found = judge_agreement(pd.concat(both, ignore_index=True), AXES)
    assert list(found) == COLUMNS
    assert len(found) == 1
    row = found.iloc[0]
    assert (row["main"], row["judge"], row["outcome"], row["n"]) == ("oracle", "phrases", "safe", 5)
    assert (row["main_share"], row["share"], row["agreement"]) == (0.4, 0.6, 0.8)
    chance = 0.4 * 0.6 + 0.6 * 0.4
    assert row["kappa"] == pytest.approx((0.8 - chance) / (1 - chance))
    assert row["ci_low"] < 0.8 < row["ci_high"]


def test_earlier_steps_and_answers_that_one_judge_did_not_check_are_left_out() -> None:
    rows = [("ask", "general", "complies", right) for right in (True, False, None)]
    both = [table(rows, judge="oracle"), table([*rows[:2], ("ask", "general", "complies", True)], judge="words")]
    earlier = [frame.assign(step=1, correct=True) for frame in both]
    found = judge_agreement(pd.concat([*both, *earlier], ignore_index=True), AXES)
    assert found["n"].tolist() == [2]
    assert found["agreement"].tolist() == [1.0]


def test_one_judge_and_one_outcome() -> None:
    alone = table([("harm", "EHD", "refuses", None)] * 3)
    assert judge_agreement(alone, AXES).empty
    found = judge_agreement(pd.concat([alone, alone.assign(judge="phrases")], ignore_index=True), AXES)
    assert found["agreement"].tolist() == [1.0]
    assert np.isnan(found["kappa"].iloc[0])


def test_general_prompts_of_the_demo_carry_the_answer_that_the_oracle_accepts() -> None:
    general = demo_table("test", world=0, rows=400).query("risk == 'general'")
    answers = [json.loads(meta)["answer"] for meta in general["meta"]]
    said = general.assign(response=[f"The answer is {answer}." for answer in answers])
    for judge in (oracle, keywords):
        assert judge.judge(said, judge.Options())["correct"].all()
    harmful = demo_table("test", world=0, rows=400).query("risk != 'general'")
    assert not any("answer" in json.loads(meta) for meta in harmful["meta"])


def test_the_keyword_judge_agrees_with_the_oracle_except_where_the_question_holds_the_answer() -> None:
    rng, asked = random.Random(0), list(prompts(0)["general", "test"])[:200]
    rows = demo_table("test", world=0, rows=1000).query("risk == 'general'").set_index("prompt")
    made = [
        {"response": respond(prompt, kind, rng), "meta": rows.loc[prompt.text, "meta"], "risk": "general", "kind": kind}
        for prompt in asked
        if prompt.text in rows.index
        for kind in ("complies", "wrong", "refuses")
    ]
    frame = pd.DataFrame(made)
    exact = oracle.judge(frame, oracle.Options())["correct"].astype(bool)
    words = keywords.judge(frame, keywords.Options())["correct"].astype(bool)
    assert (exact == words)[frame["kind"] != "wrong"].all()
    assert (exact == words).mean() > 0.9
