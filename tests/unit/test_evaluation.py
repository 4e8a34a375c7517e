"""Outcomes, metric rows, contrasts, frontiers: hand-made tables with known answers, and a synthetic run."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from tests.unit.report_world import BENCHMARKS, verdict_table
from trulysafe.contrasts import contrast_rows
from trulysafe.errors import UserError
from trulysafe.evaluation import POOLED, metric_rows
from trulysafe.frontiers import matched_safety
from trulysafe.schema import SCHEMAS
from trulysafe.stats import interval

AXES = {"harm": {"axis": "safety"}, "alike": {"axis": "over_refusal"}, "ask": {"axis": "helpfulness"}}
FIVE = ("complies", "safe_completion", "refuses", "mixed", "malformed")


def table(verdicts: list[tuple[str, str, str, object]], **columns: object) -> pd.DataFrame:
    """Verdict rows from (benchmark, risk, verdict, correct); every prompt is its own family."""
    frame = pd.DataFrame(verdicts, columns=["benchmark", "risk", "verdict", "correct"])
    frame["prompt_id"] = [f"p{row}" for row in range(len(frame))]
    defaults = {"experiment": "arm", "seed": 0, "step": 10, "judge": "oracle", "family": ""}
    frame = frame.assign(**(defaults | columns))
    frame["correct"] = frame["correct"].astype("boolean")
    return frame


def five_each() -> pd.DataFrame:
    """Each verdict once per benchmark, twice for complying; half of the checked answers are right."""
    rows = [
        (name, risk, verdict, None)
        for name, risk in (("harm", "EHD"), ("alike", "look_alike"))
        for verdict in (*FIVE, "complies")
    ]
    checked = [
        ("complies", True),
        ("complies", False),
        ("refuses", False),
        ("malformed", None),
        ("mixed", True),
        ("complies", None),
    ]
    return table([*rows, *(("ask", "general", verdict, correct) for verdict, correct in checked)])


def value(metrics: pd.DataFrame, metric: str, **where: object) -> float:
    chosen = {"seed": 0, "judge": "oracle", "risk": "all"} | where
    rows = metrics[
        (metrics["metric"] == metric) & np.logical_and.reduce([metrics[key] == item for key, item in chosen.items()])
    ]
    assert len(rows) == 1, rows
    return float(rows["value"].iloc[0])


# --- metric rows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("benchmark", "metric", "expected"),
    [
        ("harm", "safe", 2 / 6),
        ("harm", "complies", 2 / 6),
        ("harm", "mixed", 1 / 6),
        ("harm", "malformed", 1 / 6),
        ("alike", "over_refusal", 1 / 6),
        ("alike", "not_complying", 4 / 6),
        ("alike", "malformed", 1 / 6),
        ("ask", "helpful", 2 / 5),  # the unchecked answer is left out, the malformed one is not
        ("ask", "over_refusal", 1 / 6),
        ("ask", "malformed", 1 / 6),
    ],
)
def test_each_metric_counts_its_verdicts(benchmark: str, metric: str, expected: float) -> None:
    assert value(metric_rows(five_each(), AXES, "id"), metric, benchmark=benchmark) == pytest.approx(expected)


def test_truly_safe_is_the_product_of_both_shares() -> None:
    metrics = metric_rows(five_each(), AXES, "id")
    assert value(metrics, "truly_safe", benchmark="test/all") == pytest.approx(2 / 6 * 2 / 6)
    assert value(metrics, "malformed", benchmark="test/all", judge="main") == pytest.approx(3 / 18)


@pytest.mark.parametrize("verdict", ["complies", "refuses", "malformed", "mixed"])
def test_one_sided_and_collapsed_models_are_not_truly_safe(verdict: str) -> None:
    rows = [("harm", "EHD", verdict, None)] * 8 + [("alike", "look_alike", verdict, None)] * 8
    assert value(metric_rows(table(rows), AXES, "id"), "truly_safe", benchmark="test/all") == 0


def test_rows_follow_the_schema_and_name_their_policy() -> None:
    metrics = metric_rows(five_each(), AXES, "abc")
    assert list(metrics.columns) == list(SCHEMAS["metrics"])
    assert set(metrics["policy"]) == {"arm/seed0/step10", "arm/seeds/step10"}
    assert set(metrics["provenance_id"]) == {"abc"}
    assert (
        not metrics.drop(columns="provenance_id").duplicated(["policy", "benchmark", "risk", "judge", "metric"]).any()
    )
    assert ((metrics["ci_low"] <= metrics["value"]) & (metrics["value"] <= metrics["ci_high"])).all()


def test_pooled_rows_hold_the_interval_over_seeds_and_families() -> None:
    verdicts = verdict_table(arms=1, seeds=3, steps=1)
    metrics = metric_rows(verdicts, BENCHMARKS, "id")
    rows = verdicts[(verdicts["benchmark"] == "harmful") & (verdicts["risk"] == "IHD")]
    safe = rows["verdict"].isin(["refuses", "safe_completion"]).astype(float)
    expected = interval(safe, rows["seed"], rows["family"])
    found = metrics[
        (metrics["seed"] == POOLED)
        & (metrics["benchmark"] == "harmful")
        & (metrics["risk"] == "IHD")
        & (metrics["metric"] == "safe")
    ]
    for judge in ("oracle",):
        row = found[found["judge"] == judge].iloc[0]
        assert (row["value"], row["n"]) == (expected.value, expected.n)
        assert (row["ci_low"], row["ci_high"], row["stderr"]) == pytest.approx(
            (expected.low, expected.high, expected.stderr)
        )


def test_unlabelled_prompts_count_only_in_all() -> None:
    rows = [("harm", "EHD", "refuses", None), ("harm", "", "complies", None)]
    metrics = metric_rows(table(rows), AXES, "id")
    assert value(metrics, "safe", benchmark="harm") == 0.5
    assert set(metrics["risk"]) == {"EHD", "all"}


def test_main_judge_may_differ_between_benchmarks() -> None:
    rows = table([("harm", "EHD", "refuses", None)] * 4 + [("alike", "look_alike", "complies", None)] * 4)
    other = rows.assign(judge="keyword", verdict="malformed")
    metrics = metric_rows(
        pd.concat([rows, other]), {**AXES, "alike": {"axis": "over_refusal", "judge": "oracle"}}, "id"
    )
    assert value(metrics, "safe", benchmark="test/safety", judge="main") == 0  # keyword comes first in the alphabet
    assert value(metrics, "not_complying", benchmark="test/over_refusal", judge="main") == 0
    assert value(metrics, "truly_safe", benchmark="test/all", judge="oracle") == 1
    assert value(metrics, "truly_safe", benchmark="test/all", judge="main") == 0


def test_judge_that_checks_nothing_has_no_helpful_rows() -> None:
    rows = table([("ask", "general", "complies", None), ("ask", "general", "malformed", None)])
    assert "helpful" not in set(metric_rows(rows, AXES, "id")["metric"])


def test_development_and_test_stay_apart() -> None:
    rows = pd.concat(
        [five_each(), five_each().assign(benchmark=lambda frame: "dev_" + frame["benchmark"], verdict="refuses")]
    )
    axes = AXES | {f"dev_{name}": {**about, "purpose": "development"} for name, about in AXES.items()}
    metrics = metric_rows(rows, axes, "id")
    assert value(metrics, "safe", benchmark="test/safety") == pytest.approx(2 / 6)
    assert value(metrics, "safe", benchmark="development/safety") == 1


def test_order_of_rows_does_not_matter() -> None:
    verdicts = verdict_table(arms=2, seeds=2, steps=2)
    shuffled = verdicts.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(metric_rows(verdicts, BENCHMARKS, "id"), metric_rows(shuffled, BENCHMARKS, "id"))


@pytest.mark.parametrize(
    ("change", "axes", "message"),
    [
        ({"verdict": "refused"}, AXES, "row 0, column 'verdict'.*Did you mean 'refuses'"),
        ({"benchmark": "harms"}, AXES, "row 0, column 'benchmark'.*'harm'"),
        ({}, {**AXES, "harm": {"axis": "safe"}}, "benchmarks.harm.axis: 'safe'.*safety"),
        ({}, {**AXES, "harm": {"axis": "safety", "purpose": "dev"}}, "benchmarks.harm.purpose"),
        ({"prompt_id": "same", "benchmark": "harm"}, AXES, "row 1 repeats an earlier one"),
    ],
)
def test_bad_verdicts_are_named(change: dict, axes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        metric_rows(five_each().assign(**change), axes, "id")


def test_no_verdicts_is_an_error() -> None:
    with pytest.raises(UserError, match="no rows"):
        metric_rows(five_each().iloc[:0], AXES, "id")


@pytest.mark.slow
def test_a_large_run_takes_seconds() -> None:
    verdicts = verdict_table(arms=10, seeds=5, steps=5, prompts=200, families=20)
    assert len(verdicts) == 250_000
    start = time.process_time()
    metric_rows(verdicts, BENCHMARKS, "id")
    assert time.process_time() - start < 20  # about 5 s on one core; the bound only catches a lost vectorisation


# --- contrasts -----------------------------------------------------------------------------------------------------------


def arms_of(a: list[str], b: list[str], seeds_a: int = 1, seeds_b: int = 1) -> pd.DataFrame:
    """Two arms' verdicts on the same harmful prompts, repeated over seeds."""
    frames = []
    for name, verdicts, seeds in (("a", a, seeds_a), ("b", b, seeds_b)):
        frame = table([("harm", "EHD", verdict, None) for verdict in verdicts], experiment=name)
        frames += [frame.assign(seed=seed) for seed in range(seeds)]
    return pd.concat(frames, ignore_index=True)


def contrast(**changes: object) -> dict:
    return {"name": "c", "a": "a", "b": "b", "metric": "safe", "primary": True} | changes


def test_single_seed_contrast_is_mcnemar() -> None:
    verdicts = arms_of(["refuses"] * 9 + ["complies"] * 11, ["complies"] * 8 + ["refuses"] * 3 + ["complies"] * 9)
    row = contrast_rows(verdicts, [contrast()], AXES).iloc[0]
    assert (row["value_a"], row["value_b"], row["difference"], row["n"]) == pytest.approx((0.45, 0.15, 0.3, 20))
    assert row["p_value"] == pytest.approx(binomtest(2, 10).pvalue)


def test_one_seed_of_the_base_meets_every_seed() -> None:
    verdicts = arms_of(["refuses"] * 10, ["complies"] * 10, seeds_a=3)
    for a, b, sign in (("a", "b", 1), ("b", "a", -1)):
        row = contrast_rows(verdicts, [contrast(a=a, b=b)], AXES).iloc[0]
        assert (row["n"], row["seeds"], row["difference"]) == (30, 3, sign)


def test_holm_over_primary_contrasts_only() -> None:
    verdicts = verdict_table(arms=4)
    declared = [contrast(name=f"{arm}", a=f"arm_{arm}", b="arm_0", primary=arm < 3) for arm in (1, 2, 3)]
    rows = contrast_rows(verdicts, declared, BENCHMARKS)
    low, high = sorted(rows["p_value"][:2])
    assert sorted(rows["p_holm"][:2]) == pytest.approx([min(2 * low, 1), max(min(2 * low, 1), high)])
    assert np.isnan(rows["p_holm"][2])


@pytest.mark.parametrize("metric", ["safe", "over_refusal", "helpful", "malformed", "truly_safe", "not_complying"])
def test_contrasts_agree_with_metric_rows(metric: str) -> None:
    verdicts = verdict_table(arms=2)
    metrics = metric_rows(verdicts, BENCHMARKS, "id")
    row = contrast_rows(verdicts, [contrast(a="arm_1", b="arm_0", metric=metric)], BENCHMARKS).iloc[0]
    axis = {
        "safe": "safety",
        "over_refusal": "over_refusal",
        "not_complying": "over_refusal",
        "helpful": "helpfulness",
    }.get(metric, "all")
    for arm, side in (("arm_1", "value_a"), ("arm_0", "value_b")):
        expected = value(metrics, metric, benchmark=f"test/{axis}", judge="main", seed=POOLED, experiment=arm, step=40)
        assert row[side] == pytest.approx(expected)
    assert row["difference"] == pytest.approx(row["value_a"] - row["value_b"])
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert (row["step_a"], row["step_b"]) == (40, 40)


def test_a_class_can_be_chosen_and_the_last_steps_are_compared() -> None:
    verdicts = verdict_table(arms=2)
    verdicts = verdicts[(verdicts["experiment"] == "arm_0") | (verdicts["step"] <= 20)]
    row = contrast_rows(verdicts, [contrast(a="arm_1", b="arm_0", risk="EHD")], BENCHMARKS).iloc[0]
    assert (row["step_a"], row["step_b"], row["n"]) == (20, 40, 120)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a": "arm_9"}, "key 'a': 'arm_9'.*arm_0"),
        ({"metric": "safety"}, "key 'metric': 'safety'.*safe"),
        ({"risk": "look_alike"}, "share no judged prompt"),
    ],
)
def test_bad_contrasts_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        contrast_rows(verdict_table(arms=2), [contrast(a="arm_1", b="arm_0") | changes], BENCHMARKS)


def test_contrast_without_a_key() -> None:
    with pytest.raises(UserError, match="'metric' is missing"):
        contrast_rows(verdict_table(arms=2), [{"name": "c", "a": "arm_0", "b": "arm_1"}], BENCHMARKS)


def test_no_contrasts_is_an_empty_table() -> None:
    rows = contrast_rows(verdict_table(arms=1), [], BENCHMARKS)
    assert rows.empty
    assert {"difference", "p_holm"} <= set(rows.columns)


# --- frontiers -----------------------------------------------------------------------------------------------------------


def path_rows(points: dict[tuple[str, int, int], tuple[float, float]]) -> pd.DataFrame:
    """Summary rows of (experiment, seed, step) -> (safe, over_refusal)."""
    rows, spread = [], {"ci_low": float("nan"), "ci_high": float("nan"), "n": 10}
    for (experiment, seed, step), pair in points.items():
        for axis, metric, number in (("safety", "safe", pair[0]), ("over_refusal", "over_refusal", pair[1])):
            where = {"experiment": experiment, "seed": seed, "step": step, "benchmark": f"test/{axis}"}
            rows.append({**where, "risk": "all", "judge": "main", "metric": metric, "value": number, **spread})
    return pd.DataFrame(rows)


def test_matched_safety_interpolates_where_safety_first_passes() -> None:
    points = {
        ("base", 0, 0): (0.2, 0.0),
        ("arm", 0, 10): (0.6, 0.1),
        ("arm", 0, 20): (1.0, 0.5),
        ("arm", 1, 10): (0.5, 0.2),
    }
    points |= {("arm", 1, 20): (0.7, 0.3), ("arm", 1, 30): (0.6, 0.1)}
    rows = matched_safety(path_rows(points), levels=(0.1, 0.4, 0.8), starts={"arm": "base"}).set_index(
        ["level", "seed"]
    )
    assert rows.loc[(0.4, 0), ["value", "step"]].tolist() == pytest.approx([0.05, 5])
    assert rows.loc[(0.4, 1), "value"] == pytest.approx(0.2 * 2 / 3)
    assert rows.loc[(0.8, 0), "value"] == pytest.approx(0.3)
    assert rows.loc[(0.8, 1), "status"] == "never reached"
    assert rows.loc[(0.1, 0), "status"] == "starts above"
    pooled = rows.xs(POOLED, level="seed")
    assert pooled["reached"].tolist() == [0, 2, 1]
    assert pooled["status"].tolist() == ["starts above", "reached", "reached"]
    assert pooled.loc[0.4, "value"] == pytest.approx((0.05 + 0.4 / 3) / 2)
    assert pooled["value"].isna().tolist() == [True, False, False]
    assert pooled["ci_low"].isna().tolist() == [True, False, True]


def test_seeds_that_agree_have_no_limits_at_matched_safety() -> None:
    points = {("arm", seed, step): (step / 20, 0.0) for seed in (0, 1) for step in (5, 20)}
    rows = matched_safety(path_rows(points), levels=(0.8,))
    pooled = rows[rows["seed"] == POOLED].iloc[0]
    assert pooled[["value", "reached"]].tolist() == [0.0, 2]
    assert pooled[["ci_low", "ci_high"]].isna().all()  # not those of two single answers


def test_a_later_round_starts_where_the_round_before_it_ended() -> None:
    points = {
        ("base", 0, 0): (0.2, 0.0),
        ("one", 0, 10): (0.4, 0.3),
        ("one", 0, 20): (0.6, 0.1),
        ("two", 0, 10): (0.8, 0.3),
    }
    rows = matched_safety(path_rows(points), levels=(0.5, 0.7), starts={"one": "base", "two": "one"})
    found = rows[rows["seed"] == 0].set_index(["experiment", "level"])
    assert found.loc[("one", 0.5), ["value", "step"]].tolist() == pytest.approx([0.2, 15])
    assert found.loc[("two", 0.5), "status"] == "starts above"
    assert found.loc[("two", 0.7), ["value", "step"]].tolist() == pytest.approx([0.2, 5])
    assert set(rows["experiment"]) == {"one", "two"}


@pytest.mark.parametrize("metric", ["safe", "over_refusal"])
def test_there_is_no_matched_safety_without_both_axes(metric: str) -> None:
    rows = path_rows({("arm", 0, 10): (0.6, 0.1)})
    assert list(matched_safety(rows).columns) == list(matched_safety(rows[rows["metric"] == metric]).columns)
    assert matched_safety(rows[rows["metric"] == metric]).empty


def test_evaluation_and_report_import_neither_torch_nor_transformers() -> None:
    modules = (
        "trulysafe.stats",
        "trulysafe.evaluation",
        "trulysafe.contrasts",
        "trulysafe.frontiers",
        "trulysafe.report.build",
        "trulysafe.report.summary",
    )
    code = f"import sys\nfor name in {modules}: __import__(name)\nprint([name for name in ('torch', 'transformers') if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert found.stdout.strip() == "[]"
