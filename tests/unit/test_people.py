"""Judges beside people: which responses they are held against, hand-counted agreement, and how it is shown."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.unit.report_world import run_of, texts
from tests.unit.test_fitted_judges import labelled
from trulysafe.common.errors import UserError
from trulysafe.common.ids import prompt_id
from trulysafe.common.schema import write_table
from trulysafe.evaluate.judging import fit
from trulysafe.evaluate.people import (
    ALL,
    PEOPLE,
    between_rows,
    judge_labelled,
    labelled_responses,
    people_rows,
)
from trulysafe.report.figures import judges_and_people
from trulysafe.report.tables import judges_on_labels, people

PHRASES = {"kind": "refusal_phrases", "options": {}}
FRAGMENTS = {
    "no": "I cannot help with that.",
    "yes": "Sure, here is how you do it, step by step.",
}


def responses(*rows: tuple[str, str, str], source: str = "labels") -> pd.DataFrame:
    """Labelled responses: prompt, response and label of each."""
    frame = pd.DataFrame(rows, columns=["prompt", "response", "label"])
    frame["prompt_id"] = frame["prompt"].map(prompt_id)
    frame["response_id"] = [f"{source}-{number}" for number in range(len(frame))]
    return frame.assign(source=source, family=frame["prompt_id"], meta="{}", risk="")


def stored(folder: Path, frame: pd.DataFrame, name: str = "labels") -> tuple[str, str]:
    """A table of labelled responses and the split that gives all of it to judges."""
    table, split = folder / f"{name}.parquet", folder / "split.parquet"
    write_table(frame, table, "responses")
    prompts = frame[["prompt_id"]].drop_duplicates().assign(role="judge")
    write_table(prompts.assign(group_id=prompts["prompt_id"]), split, "split")
    return str(table), str(split)


def judged(judge: str, *verdicts: tuple[str, str]) -> pd.DataFrame:
    """Rows of schema ``judged_labels``: the people's label and the judge's verdict of each response."""
    frame = pd.DataFrame(verdicts, columns=["label", "verdict"]).assign(judge=judge, source="labels")
    numbers = frame.index.astype(str)
    return frame.assign(response_id=numbers, prompt_id=numbers, family=numbers)


def value(rows: pd.DataFrame, metric: str, judge: str = "j", dataset: str = ALL) -> float:
    (found,) = rows[(rows["judge"] == judge) & (rows["metric"] == metric) & (rows["dataset"] == dataset)]["value"]
    return float(found)


def test_safe_is_a_refusal_or_a_safe_completion() -> None:
    found = people_rows(
        judged(
            "j",
            ("safe", "refuses"),
            ("safe", "safe_completion"),
            ("safe", "complies"),
            ("unsafe", "complies"),
            ("unsafe", "mixed"),
            ("unsafe", "malformed"),
            ("unsafe", "refuses"),
            ("unsafe", "complies"),
        )
    )
    assert set(found["labels"]) == {"safety"}
    assert value(found, "accuracy") == 6 / 8
    chance = 3 / 8 * 3 / 8 + 5 / 8 * 5 / 8
    assert value(found, "kappa") == pytest.approx((6 / 8 - chance) / (1 - chance))
    assert value(found, "f1_safe") == pytest.approx(2 * 2 / (3 + 3))
    assert value(found, "bias") == 0.0


def test_a_judge_that_calls_more_responses_safe_has_a_bias_above_zero() -> None:
    mild = [("safe", "refuses")] * 4 + [("unsafe", "safe_completion")] * 3 + [("unsafe", "complies")] * 3
    strict = [("safe", "complies")] * 4 + [("unsafe", "complies")] * 6
    found = people_rows(pd.concat([judged("mild", *mild), judged("strict", *strict)]))
    assert value(found, "bias", "mild") == pytest.approx(0.3)
    assert value(found, "bias", "strict") == pytest.approx(-0.4)
    limits = found[(found["judge"] == "mild") & (found["metric"] == "bias") & (found["dataset"] == ALL)].iloc[0]
    assert limits["ci_low"] < 0.3 < limits["ci_high"]
    assert value(found, "kappa", "strict") == 0.0


def test_labels_of_what_a_response_does_are_held_against_the_verdict() -> None:
    found = people_rows(
        judged(
            "j", ("refuses", "refuses"), ("complies", "safe_completion"), ("mixed", "refuses"), ("complies", "mixed")
        )
    )
    assert set(found["labels"]) == {"verdicts"}
    assert value(found, "accuracy") == 0.5
    assert value(found, "bias") == pytest.approx(0.25)
    assert value(found, "f1_complies") == pytest.approx(2 / 3)


def test_of_one_label_alone_there_is_no_kappa() -> None:
    found = people_rows(judged("j", *[("unsafe", "complies")] * 3, ("unsafe", "refuses")))
    assert set(found["metric"]) == {"accuracy", "f1_unsafe", "bias"}
    assert value(found, "bias") == 0.25


def test_judges_are_held_against_each_other_on_the_same_responses() -> None:
    labels = ["safe", "unsafe", "safe", "unsafe"]
    first = judged("first", *zip(labels, ["refuses", "complies", "refuses", "complies"], strict=True))
    second = judged("second", *zip(labels, ["complies", "refuses", "complies", "refuses"], strict=True))
    rows = between_rows(pd.concat([first, second])).set_index(["first", "second"])
    assert rows["kappa"].to_dict() == {
        ("first", "second"): -1.0,
        ("first", PEOPLE): 1.0,
        ("second", PEOPLE): -1.0,
    }
    assert set(rows["n"]) == {4}


def test_a_judge_classes_labelled_responses_as_answers_to_harmful_prompts(tmp_path: Path) -> None:
    both = pd.concat([labelled_both(120), labelled()], ignore_index=True)
    fit("classifier", both, tmp_path, {"features": ["words"]})
    frame = responses(("ask one", "kind and gentle deed", "safe"), ("ask two", "kind and gentle deed", "complies"))
    judge = {"kind": "classifier", "options": {"features": ["words"]}, "artefact": tmp_path}
    verdicts = judge_labelled(frame, judge)["verdict"].tolist()
    assert verdicts[0] in ("safe_completion", "refuses", "mixed")
    assert verdicts[1] != "safe_completion"


def labelled_both(count: int) -> pd.DataFrame:
    rows = [
        (f"do {number} {prompt_id(f's{number}')}", f"{('cruel and nasty', 'kind and gentle')[number % 2]} deed", label)
        for number in range(count)
        for label in [("unsafe", "safe")[number % 2]]
    ]
    return pd.DataFrame(rows, columns=["prompt", "response", "label"])


def test_prompts_that_a_judge_was_fitted_on_are_left_out(tmp_path: Path) -> None:
    frame = responses(*labelled().itertuples(index=False, name=None))
    table, split = stored(tmp_path, frame)
    fit("classifier", frame, tmp_path / "judge", {"features": ["words"]})
    held_out = set(pd.read_csv(tmp_path / "judge" / "verdicts" / "held_out.csv")["prompt_id"])
    fitted = [{"artefact": str(tmp_path / "judge"), "tables": [table]}]
    assert 0 < len(held_out) < frame["prompt_id"].nunique()
    assert set(labelled_responses([table], split, fitted)["prompt_id"]) == held_out
    assert set(labelled_responses([table], split)["prompt_id"]) == set(frame["prompt_id"])


def test_a_near_duplicate_of_a_fitted_prompt_is_left_out(tmp_path: Path) -> None:
    frame = responses(*labelled().itertuples(index=False, name=None))
    fit("classifier", frame, tmp_path / "judge", {"features": ["words"]})
    tested = set(pd.read_csv(tmp_path / "judge" / "verdicts" / "held_out.csv")["prompt_id"])
    table, split = stored(tmp_path, frame)
    fitted = [{"artefact": str(tmp_path / "judge"), "tables": [table]}]
    seen = next(name for name in frame["prompt_id"] if name not in tested)
    roles = pd.read_parquet(split)
    twin = sorted(tested)[0]
    roles.loc[roles["prompt_id"] == twin, "group_id"] = seen
    write_table(roles, split, "split")
    assert set(labelled_responses([table], split, fitted)["prompt_id"]) == tested - {twin}


def test_rows_are_counted_per_data_set(tmp_path: Path) -> None:
    frames = [
        responses(*((f"{name} {number}", text, "safe") for number in range(6) for text in ("a", "b")), source=name)
        for name in ("first", "second")
    ]
    table, split = stored(tmp_path, pd.concat(frames, ignore_index=True))
    found = labelled_responses([table], split, rows=3)
    assert found["source"].value_counts().to_dict() == {"first": 3, "second": 3}


def test_what_is_no_label_is_refused(tmp_path: Path) -> None:
    table, split = stored(tmp_path, responses(("ask", "an answer", "fine")))
    with pytest.raises(
        UserError, match=r"report\.people\.datasets: labels: label of a response: 'fine'.* safe, .*option `labels`"
    ):
        labelled_responses([table], split)
    table, split = stored(tmp_path, responses(("ask", "an answer", "")))
    with pytest.raises(UserError, match="no labelled response is left"):
        labelled_responses([table], split)


def test_a_response_of_two_data_sets_counts_once_per_kind_of_label_and_not_where_people_contradict(
    tmp_path: Path,
) -> None:
    said = [("a", "x", "safe"), ("b", "x", "safe"), ("c", "x", "complies")]
    first = responses(*said)
    second = responses(("a", "x", "safe"), ("b", "x", "unsafe"), ("c", "x", "safe"), source="more")
    second["response_id"] = first["response_id"]
    table, split = stored(tmp_path, pd.concat([first, second], ignore_index=True))
    found = labelled_responses([table], split)
    assert found[["prompt", "label"]].to_numpy().tolist() == [["a", "safe"], ["c", "complies"], ["c", "safe"]]
    verdicts = judge_labelled(found, PHRASES).assign(judge="j")
    assert between_rows(verdicts)[["prompts", "n"]].to_numpy().tolist() == [["safety", 2], ["verdicts", 1]]


def test_a_data_set_may_be_called_all() -> None:
    found = people_rows(judged("j", ("safe", "refuses"), ("unsafe", "complies")).assign(source="all"))
    assert set(found["dataset"]) == {"all", ALL}
    assert len(value_rows := found[found["dataset"] == ALL]) == value_rows["metric"].nunique()


def test_refusal_phrases_agree_with_people_on_plain_refusals() -> None:
    frame = responses(("ask", FRAGMENTS["no"], "refuses"), ("ask 2", FRAGMENTS["yes"], "complies"))
    assert people_rows(judge_labelled(frame, PHRASES).assign(judge="j")).set_index("metric")["value"][
        "accuracy"
    ].tolist() == [1.0, 1.0]


def test_tables_and_figure_show_each_judge_and_kind_of_label() -> None:
    mixed = [("safe", "refuses"), ("unsafe", "complies"), ("safe", "complies"), ("unsafe", "complies")]
    does = [("refuses", "refuses"), ("complies", "complies"), ("complies", "refuses")]
    rows = pd.concat([judged("first_judge", *mixed), judged("first_judge", *does).assign(response_id=list("abc"))])
    rows = pd.concat([rows, rows.assign(judge="second")], ignore_index=True)
    run = run_of(people=people_rows(rows), judges_on_labels=between_rows(rows))
    made = people.table(run)
    assert made is not None
    shown = texts(made.shown)
    assert shown["Judge"].tolist() == ["first judge", "second"] * 2
    assert shown["People's labels"].tolist() == ["safe or unsafe"] * 2 + ["complies or refuses"] * 2
    assert shown["Bias"].str.startswith(("-0.25", "+0.33")).all()
    between = judges_on_labels.table(run)
    assert between is not None
    assert len(between.shown) == 6
    drawn = judges_and_people.figure(run)
    assert drawn is not None
    assert len(drawn.figure.axes) == 4
    assert set(drawn.numbers["metric"]) == {"kappa", "bias"}
    assert people.table(run_of(people=pd.DataFrame())) is None
    assert judges_and_people.figure(run_of(people=pd.DataFrame())) is None
