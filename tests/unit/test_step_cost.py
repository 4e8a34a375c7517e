"""The cost table: per step, by kind of work, beside the outcomes."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tests.unit.report_world import texts, verdict_table
from trulysafe.evaluate.metrics import metric_rows
from trulysafe.report.cost import cost_rows, cost_text, ratio_caption, ratio_rows, read_costs
from trulysafe.trainers.step_cost import COST_FILE, flops_per_step

ONLINE = {
    "steps": 4, "parameters": 1000, "layers": 2, "hidden_size": 8,
    "seconds": {"step": 8.0, "sampling": 4.0, "judging": 1.0, "reference": 1.0},
    "tokens": {"step": 400, "sampling": 2000, "judging": 1600, "reference": 400},
}  # fmt: skip
READING = {
    "steps": 4, "parameters": 1000, "layers": 2, "hidden_size": 8,
    "seconds": {"step": 2.0, "reading": 0.02}, "tokens": {"step": 400, "reading": 80},
}  # fmt: skip
ARMS = {"arm_0": {"label": "Online"}, "arm_1": {"label": "Reading"}, "arm_2": {"label": "Never run"}}


@pytest.fixture(scope="module")
def metrics() -> pd.DataFrame:
    benchmarks = {
        "harmful": {"axis": "safety", "judge": "oracle"},
        "look_alikes": {"axis": "over_refusal", "judge": "oracle"},
    }
    verdicts = verdict_table(arms=2, seeds=2, steps=1, prompts=8)
    return metric_rows(verdicts[verdicts["benchmark"].isin(benchmarks)], benchmarks, "id")


@pytest.fixture
def folders(tmp_path):
    costs = {
        "arm_0/seed0": ONLINE,
        "arm_0/seed1": {**ONLINE, "seconds": {**ONLINE["seconds"], "step": 16.0}},
        "arm_1/seed0": READING,
        "arm_1/seed1": {**READING, "steps": 0},  # nothing was measured
    }
    for place, cost in costs.items():
        folder = tmp_path / "batch" / place
        folder.mkdir(parents=True)
        (folder / COST_FILE).write_text(json.dumps(cost), encoding="utf-8")
    return [tmp_path / "batch"]


def test_flops_follow_from_tokens_and_parameters():
    assert flops_per_step(ONLINE) == {
        "step": 6 * 1000 * 100, "sampling": 2 * 1000 * 500, "judging": 2 * 1000 * 400, "reference": 2 * 1000 * 100,
        "reading": 0,
    }  # fmt: skip
    assert flops_per_step(READING)["reading"] == 20 * (2 * 2 * 8 + 2 * 2**2)


def test_costs_are_per_step_and_runs_without_a_measure_are_left_out(folders):
    costs = read_costs(folders)
    assert costs.groupby("experiment")["seed"].nunique().to_dict() == {"arm_0": 2, "arm_1": 1}
    step = costs[costs["kind"] == "step"].set_index(["experiment", "seed"])["seconds"]
    assert step.to_dict() == {("arm_0", 0): 2.0, ("arm_0", 1): 4.0, ("arm_1", 0): 0.5}


def test_rows_hold_overheads_and_outcomes_side_by_side(folders, metrics):
    rows = cost_rows(read_costs(folders), metrics, ARMS).set_index("experiment")
    assert list(rows.index) == ["arm_0", "arm_1"]
    assert rows.loc["arm_0", "overhead_seconds"] == pytest.approx(1.5)
    assert rows.loc["arm_0", "overhead_flops"] == 2 * 1000 * 1000
    assert rows.loc["arm_1", "overhead_seconds"] == pytest.approx(0.005)
    pooled = metrics[(metrics["seed"] == -1) & (metrics["benchmark"] == "test/safety") & (metrics["metric"] == "safe")]
    expected = pooled[(pooled["experiment"] == "arm_0") & (pooled["risk"] == "all") & (pooled["judge"] == "main")][
        "value"
    ]
    assert rows.loc["arm_0", "Safe all"] == expected.item()


def test_ratios_compare_sampling_with_reading(folders, metrics):
    rows = cost_rows(read_costs(folders), metrics, ARMS)
    ratio = ratio_rows(rows).iloc[0]
    assert (ratio["online"], ratio["reading"]) == ("arm_0", "arm_1")
    assert ratio["seconds"] == pytest.approx(1.5 / 0.005)
    assert ratio["flops"] == pytest.approx(2_000_000 / 800)
    assert "Online over Reading: 300 in seconds, 2.5e+03 in FLOPs" in ratio_caption(ratio_rows(rows), ARMS)
    assert ratio_caption(ratio_rows(rows.iloc[:1]), ARMS) == ""


def test_text_has_a_line_per_arm_and_nothing_where_there_is_no_overhead(folders, metrics):
    text = texts(cost_text(cost_rows(read_costs(folders), metrics, ARMS), ARMS))
    assert text["Arm"].tolist() == ["Online", "Reading"]
    assert text["sampled tokens"].tolist() == ["500", ""]
    assert text["overhead, FLOPs"].tolist() == ["2.00e+06", "8.00e+02"]
    assert text["Safe all"].str.contains("[", regex=False).all()
