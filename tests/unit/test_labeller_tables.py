"""Tables about labellers and about diversity say the numbers that were measured, and nothing where nothing was."""

import json

import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score

from tests.unit.report_world import run_of, texts
from tests.unit.test_diversity import BENCHMARKS, answers
from tests.unit.test_labellers import labelled
from trulysafe.classifier.fit_and_test import score
from trulysafe.evaluate.diversity import diversity_rows, pooled_rows
from trulysafe.label import labelling
from trulysafe.report.listed import write_tables
from trulysafe.report.run import Run
from trulysafe.report.summary import measured_facts
from trulysafe.report.tables import diversity, labeller_agreement, labeller_confusion
from trulysafe.report.tables import labellers as labeller_scores


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A fitted classifier, and a reviewer's artefact made from it that errs in known places; every tenth prompt is
    labelled twice."""
    root = tmp_path_factory.mktemp("labellers")
    frame = labelled()
    twice = frame.iloc[::10].assign(risk=["IHD", *frame["risk"].iloc[10::10]])
    metrics = labelling.fit(pd.concat([frame, twice], ignore_index=True), root / "fitted", {"strengths": [1.0]})
    held_out = pd.read_csv(root / "fitted" / "held_out.csv", dtype=str)
    read = held_out[["prompt_id", "label", "words"]].assign(llm=held_out["label"])
    read.loc[:4, "llm"] = "unparsed"
    read.loc[5:9, "llm"] = "MHD"
    (root / "reviewer").mkdir()
    read.to_csv(root / "reviewer" / "held_out.csv", index=False)
    scores = {name: score(read["label"].tolist(), read[name].tolist()) for name in ("words", "llm")}
    about = {"chosen": "llm", "baseline": "words", "scores": scores, "unparsed": 5}
    (root / "reviewer" / "metrics.json").write_text(json.dumps(about))
    (root / "untested").mkdir()
    (root / "untested" / "metrics.json").write_text("{}")
    return {name: root / name for name in ("fitted", "reviewer", "untested")}, metrics, read


def labelled_run(folders, pools=None):
    run = Run({"labellers": folders.values()}, {"arms": {}})
    run.labelled_pools = pools or {}
    return run


def made(module, folders, pools=None):
    """What is read of a table, and its numbers."""
    table = module.table(labelled_run(folders, pools))
    return texts(table.shown), table.numbers


def test_scores_stand_beside_the_baseline_and_the_ceiling(folders):
    paths, metrics, read = folders
    text, numbers = made(labeller_scores, paths)
    rows = numbers.set_index(["labeller", "by", "metric"])
    assert not (numbers["labeller"] == "untested").any()
    expected = f1_score(read["label"], read["llm"], labels=sorted(set(read["label"])), average="macro")
    macro = rows.loc[("reviewer", "llm", "macro_f1")]
    assert macro["value"] == pytest.approx(expected)
    assert macro["ci_low"] < macro["value"] < macro["ci_high"]
    assert rows.loc[("reviewer", "llm", "accuracy"), "value"] == pytest.approx((read["label"] == read["llm"]).mean())
    assert rows.loc[("reviewer", "llm", "unparsed"), "value"] == 5
    ceiling = rows.sort_index().loc[("fitted", "another released label")]
    assert ceiling.loc["prompts_labelled_twice", "value"] == 16
    assert ceiling.loc["prompts_labelled_differently", "value"] == metrics["label_agreement"]["disagreeing"] == 1
    assert ceiling.loc["macro_f1", "value"] == metrics["label_agreement"]["macro_f1"]
    shown = text.set_index(["Labeller", "Classes by"])
    assert shown.loc[("reviewer", "llm, used"), "Unparsed"] == "5"
    assert shown.loc[("reviewer", "words"), "Unparsed"] == ""
    assert {"F1 EHD", "F1 IHD", "F1 MHD", "F1 general"} <= set(text.columns)


def test_the_confusion_matrix_counts_every_held_out_row(folders):
    paths, _, read = folders
    text, numbers = made(labeller_confusion, paths)
    mine = numbers[numbers["labeller"] == "reviewer"]
    expected = pd.crosstab(read["label"], read["llm"])
    found = mine.pivot_table(index="true", columns="predicted", values="count")
    for true in expected.index:
        for predicted in expected.columns:
            assert found.loc[true, predicted] == expected.loc[true, predicted]
    assert mine["count"].sum() == len(read)
    shown = text[text["Labeller"] == "reviewer"].set_index("Released class")
    assert shown["unparsed"].sum() == 5
    assert shown["n"].sum() == len(read)
    assert list(text.columns)[2:5] == ["EHD", "IHD", "MHD"]


def test_labellers_are_compared_with_the_released_labels_and_with_each_other(folders):
    paths, metrics, read = folders
    pool = {"n": 50, "agreement": 0.8, "kappa": 0.6, "kappa_low": 0.4, "kappa_high": 0.8}
    text, numbers = made(labeller_agreement, paths, {"harmful": ("fitted", pool), "empty": ("fitted", {"n": 0})})
    rows = numbers.set_index(["prompts", "first", "second"])
    once = read.drop_duplicates("prompt_id").set_index("prompt_id")
    fitted = (
        pd.read_csv(paths["fitted"] / "held_out.csv", dtype=str).drop_duplicates("prompt_id").set_index("prompt_id")
    )
    between = rows.loc[("held out", "fitted", "reviewer")]
    assert between["n"] == len(once)
    assert between["kappa"] == pytest.approx(cohen_kappa_score(fitted[metrics["chosen"]], once["llm"]))
    assert between["ci_low"] < between["kappa"] < between["ci_high"]
    assert rows.loc[("held out", "released", "reviewer"), "n"] == len(read)
    assert rows.loc[("pool harmful", "released", "fitted"), "ci_low"] == 0.4
    assert rows.loc[("labelled twice (fitted)", "released", "released"), "kappa"] == metrics["label_agreement"]["kappa"]
    assert "0.60 [0.40, 0.80]" in text["Cohen's kappa"].tolist()
    assert len(numbers) == 5


def test_without_labellers_there_is_no_table():
    for module in (labeller_scores, labeller_confusion, labeller_agreement):
        assert module.table(labelled_run({})) is None
        assert module.table(labelled_run({}, {"pool": ("released", {})})) is None


def test_diversity_is_shown_per_axis_and_arm(tmp_path):
    rows = diversity_rows(answers(seeds=3), BENCHMARKS, "id", most=100)
    metrics = pd.concat([rows, pooled_rows(rows)], ignore_index=True)
    arms = {"absent": {"label": "Absent"}, "arm": {"label": "An arm"}}
    table = diversity.table(run_of(arms, metrics=metrics))
    text, numbers = texts(table.shown), table.numbers
    assert text["Prompts"].tolist() == ["harmful", "questions"]
    assert text["Arm"].tolist() == ["An arm"] * 2
    value = rows[(rows["benchmark"] == "test/safety") & (rows["risk"] == "all") & (rows["metric"] == "self_bleu")][
        "value"
    ].mean()
    assert text["Self-BLEU"][0].startswith(f"{value:.2f} [")
    assert set(numbers["risk"]) == {"all", "EHD", "IHD", "general"}
    assert diversity.table(run_of(arms, metrics=metrics[metrics["judge"] != "text"])) is None


def test_all_of_them_are_written(folders, tmp_path):
    from tests.unit.report_world import BENCHMARKS as MADE
    from tests.unit.report_world import verdict_table
    from trulysafe.evaluate.metrics import metric_rows

    verdicts = verdict_table(arms=1, seeds=2, steps=1)
    rows = diversity_rows(answers().assign(experiment="arm_0"), BENCHMARKS, "id", most=9)
    metrics = pd.concat([metric_rows(verdicts, MADE, "id"), rows, pooled_rows(rows)], ignore_index=True)
    run = Run({"labellers": folders[0].values()}, {"arms": {"arm_0": {"label": "A"}}})
    run.metrics = metrics
    paths = write_tables(tmp_path, run)
    assert {path.stem for path in paths} == {
        "main",
        "diversity",
        "labellers",
        "labeller_confusion",
        "labeller_agreement",
    }


def test_the_summary_says_what_could_not_be_read_and_what_can_be_reached(folders):
    paths, metrics, _ = folders
    facts = measured_facts(
        rewards={}, judges={}, pairs={}, labellers={name: path / "metrics.json" for name, path in paths.items()}
    )
    assert len(facts) == 2  # none on the one that was not tested
    assert "1 of the 16 prompts that were labelled more than once have different labels" in facts[0]
    assert f"macro-F1 {metrics['label_agreement']['macro_f1']:.2f}." in facts[0]
    assert "Without a readable answer: 5." in facts[1]
