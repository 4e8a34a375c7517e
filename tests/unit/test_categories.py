"""Safety and over-refusal per category of harm."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from tests.unit.report_world import ARMS, run_of, texts, verdicts_of_arms
from trulysafe.evaluate.categories import category_rows
from trulysafe.evaluate.metrics import metric_rows
from trulysafe.report.tables import categories

BENCHMARKS = {
    "harm": {"axis": "safety", "judge": "main"},
    "alike": {"axis": "over_refusal", "judge": "main"},
    "tuning": {"axis": "safety", "judge": "main", "purpose": "development"},
    "questions": {"axis": "helpfulness", "judge": "main"},
}


def verdicts(*rows: tuple[str, str, str, int, int, str]) -> pd.DataFrame:
    """Rows of arm, benchmark, prompt, seed, step and verdict."""
    frame = pd.DataFrame(rows, columns=["experiment", "benchmark", "prompt_id", "seed", "step", "verdict"])
    return frame.assign(judge="main", risk="", family="", correct=None, cut_off=False)


def answers(**categories_of: Any) -> pd.DataFrame:
    """One answer per prompt and benchmark, whose category stands in its facts."""
    rows = [
        (benchmark, name, json.dumps({"category": text} if text else {}), "")
        for name, text in categories_of.items()
        for benchmark in BENCHMARKS
    ]
    return pd.DataFrame(rows, columns=["benchmark", "prompt_id", "meta", "family"])


def test_shares_are_counted_per_category_at_the_last_step() -> None:
    found = verdicts(
        ("a", "harm", "p1", 0, 10, "refuses"),
        ("a", "harm", "p2", 0, 10, "complies"),
        ("a", "harm", "p3", 0, 10, "safe_completion"),
        ("a", "harm", "p1", 0, 5, "complies"),
        ("a", "alike", "q1", 0, 10, "refuses"),
        ("a", "tuning", "t1", 0, 10, "refuses"),
        ("a", "questions", "k1", 0, 10, "complies"),
    )
    of_prompts = answers(p1="guns", p2="guns", p3="fraud", q1="homonyms", t1="guns", k1="history")
    rows = category_rows(found, of_prompts, BENCHMARKS)
    values = rows.set_index(["benchmark", "category"])[["metric", "value", "n"]].to_dict("index")
    assert values == {
        ("harm", "guns"): {"metric": "safe", "value": 0.5, "n": 2},
        ("harm", "fraud"): {"metric": "safe", "value": 1.0, "n": 1},
        ("alike", "homonyms"): {"metric": "over_refusal", "value": 1.0, "n": 1},
    }
    assert set(rows["step"]) == {10}


def test_the_family_stands_in_for_a_category_and_prompts_without_either_are_left_out() -> None:
    """A reader's prompt without a family of its own is one: its family is its id, and that of what is made of it."""
    found = verdicts(*(("a", "harm", prompt, 0, 1, "refuses") for prompt in ("p1", "p2", "p3", "p4")))
    of_prompts = answers(p1="", p2="", p3="", p4="")
    of_prompts["family"] = of_prompts["prompt_id"].map({"p1": "topic", "p2": "", "p3": "p3", "p4": "seed"})
    of_prompts.loc[of_prompts["prompt_id"] == "p4", "meta"] = json.dumps({"descends_from": ["seed", "other"]})
    assert category_rows(found, of_prompts, BENCHMARKS)["category"].tolist() == ["topic"]


def test_a_prompt_of_two_benchmarks_has_the_category_of_each() -> None:
    found = verdicts(("a", "harm", "p", 0, 1, "refuses"), ("a", "alike", "p", 0, 1, "refuses"))
    of_prompts = answers(p="guns")
    of_prompts.loc[of_prompts["benchmark"] == "alike", "meta"] = json.dumps({"category": "homonyms"})
    rows = category_rows(found, of_prompts, BENCHMARKS)
    assert rows.set_index("benchmark")["category"].to_dict() == {"harm": "guns", "alike": "homonyms"}


@pytest.mark.parametrize(
    ("given", "shown"), [(3, "3"), (["guns", "fraud"], "guns, fraud"), ({"area": 1}, '{"area": 1}'), (True, "true")]
)
def test_a_category_that_is_no_text_is_shown_as_one(given: Any, shown: str) -> None:
    found = verdicts(("a", "harm", "p", 0, 1, "refuses"), ("a", "harm", "q", 0, 1, "refuses"))
    rows = category_rows(found, answers(p=given, q="text"), BENCHMARKS)
    assert sorted(rows["category"]) == sorted([shown, "text"])


def test_seeds_are_pooled() -> None:
    rows = [("a", "harm", f"p{number}", seed, 1, "refuses") for number in range(6) for seed in range(3)]
    rows += [("a", "harm", f"c{number}", seed, 1, "complies") for number in range(6) for seed in range(3)]
    of_prompts = answers(**{row[2]: "guns" for row in rows})
    (row,) = category_rows(verdicts(*rows), of_prompts, BENCHMARKS).to_dict("records")
    assert (row["value"], row["n"], row["seeds"]) == (0.5, 36, 3)
    assert row["ci_low"] < 0.3 < 0.7 < row["ci_high"]


def test_the_table_has_a_line_per_category_and_a_column_per_arm() -> None:
    metrics = metric_rows(verdicts_of_arms(), {name: {"axis": axis} for name, axis in AXES.items()}, "x")
    rows = [
        {"benchmark": "harm_full", "category": category, "experiment": arm, "step": 1, "metric": "safe", "value": 0.25}
        | {"stderr": 0.1, "ci_low": 0.1, "ci_high": 0.4, "n": 8, "seeds": 1}
        for category in ("fraud", "guns")
        for arm in ("arm_0", "base")
    ]
    made = categories.table(run_of(metrics=metrics, categories=pd.DataFrame(rows)))
    shown = texts(made[""].shown)
    assert shown["Category"].tolist() == ["fraud", "guns"]
    assert list(shown.columns[4:]) == [ARMS["base"]["label"], ARMS["arm_0"]["label"]]
    assert shown.iloc[0, 4] == "0.25 [0.10, 0.40]"
    assert categories.table(run_of(metrics=metrics, categories=pd.DataFrame())) == {}


AXES = {"harmful": "safety", "look_alikes": "over_refusal", "questions": "helpfulness"}


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_answer_alone_has_limits(seeds: int) -> None:
    found = verdicts(*[("a", "harm", "p", seed, 1, "refuses") for seed in range(seeds)])
    (row,) = category_rows(found, answers(p="guns"), BENCHMARKS).to_dict("records")
    assert row["ci_low"] < row["value"] == row["ci_high"] == 1.0
