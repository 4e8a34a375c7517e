"""Cost of pairs over whole trainings: the jobs behind each arm, and totals by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.unit.report_world import texts, verdict_table
from trulysafe.config.load import load
from trulysafe.evaluate.metrics import metric_rows
from trulysafe.plan.plan import Plan
from trulysafe.report.cost import (
    ArmWork,
    PairJob,
    pair_job_rows,
    read_costs,
    read_work,
    whole_ratios,
    whole_rows,
    whole_text,
)
from trulysafe.trainers.step_cost import COST_FILE
from trulysafe.workflow.provenance import manifest_path

WORKFLOW = Path(__file__).parents[1] / "workflow"
ARMS = {"arm_0": {"label": "DPO"}, "arm_1": {"label": "DPO, round 2"}, "arm_2": {"label": "Online DPO"}}
SIZE = {"steps": 4, "parameters": 1000, "layers": 2, "hidden_size": 8}
COSTS = {
    "arm_0": {"seconds": {"step": 2.0}, "tokens": {"step": 400}},
    "arm_1": {"seconds": {"step": 4.0, "reading": 0.4}, "tokens": {"step": 400, "reading": 80}},
    "arm_2": {
        "seconds": {"step": 8.0, "sampling": 4.0, "judging": 1.0, "reference": 1.0},
        "tokens": {"step": 400, "sampling": 2000, "judging": 1600, "reference": 400},
    },
}
SAMPLING = PairJob("sampling", 12.0, 5.0, tokens=900)
STATES = PairJob("states", 11.0, 3.0, tokens=700)
RANKING = PairJob("ranking", 9.0, 1.0, responses=10)
WORK = {
    "arm_0": ArmWork({"arm_0": 40}, 1, [SAMPLING, STATES, RANKING]),
    "arm_1": ArmWork({"arm_1": 20, "arm_0": 40}, 2, [SAMPLING, STATES, RANKING, STATES, RANKING]),
    "arm_2": ArmWork({"arm_2": 40}, 0, [], online=True),
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("policies")
    for name, cost in COSTS.items():
        (folder / name / "seed0").mkdir(parents=True)
        (folder / name / "seed0" / COST_FILE).write_text(json.dumps(SIZE | cost), encoding="utf-8")
    benchmarks = {
        "harmful": {"axis": "safety", "judge": "oracle"},
        "look_alikes": {"axis": "over_refusal", "judge": "oracle"},
    }
    verdicts = verdict_table(arms=3, seeds=2, steps=1, prompts=8)
    metrics = metric_rows(verdicts[verdicts["benchmark"].isin(benchmarks)], benchmarks, "id")
    return whole_rows(read_costs([folder]), WORK, metrics, ARMS).set_index("experiment", drop=False)


def test_the_pool_is_paid_once_and_states_and_ranking_in_every_round(rows):
    first, second = rows.loc["arm_0"], rows.loc["arm_1"]
    reading = 10 * (2 * 2 * 8 + 2 * 2**2)
    assert first["sampling_flops"] == second["sampling_flops"] == 2 * 1000 * 900
    assert (first["states_flops"], second["states_flops"]) == (2 * 1000 * 700, 2 * 2 * 1000 * 700)
    assert (first["ranking_flops"], second["ranking_flops"]) == (reading, 2 * reading)
    assert first["pairs_seconds"] == 5 + 3 + 1
    assert first["pairs_job_seconds"] == 12 + 11 + 9


def test_trainings_of_earlier_rounds_count(rows):
    of_step = 6 * 1000 * 100
    assert rows.loc["arm_0", "training_flops"] == 40 * of_step
    assert rows.loc["arm_1", "training_flops"] == 60 * of_step
    assert rows.loc["arm_1", "training_seconds"] == pytest.approx(40 * 0.5 + 20 * (1.0 - 0.1))


def test_reading_of_rewards_and_online_pairs_are_paid_at_every_step(rows):
    assert rows.loc["arm_1", "in_steps_seconds"] == pytest.approx(20 * 0.1)
    assert rows.loc["arm_1", "in_steps_flops"] == pytest.approx(20 * 20 * (2 * 2 * 8 + 2 * 2**2))
    online = rows.loc["arm_2"]
    assert online["pairs_seconds"] == online["pairs_job_seconds"] == pytest.approx(40 * 1.5)
    assert online["pairs_flops"] == 40 * 2 * 1000 * 1000
    assert online["training_seconds"] == pytest.approx(40 * 0.5)


def test_ratios_are_of_pairs_and_of_whole_trainings(rows):
    found = whole_ratios(rows)
    assert found[["online", "reranked", "rounds"]].to_numpy().tolist() == [["arm_2", "arm_0", 1], ["arm_2", "arm_1", 2]]
    assert found["pairs_seconds"].iloc[0] == pytest.approx(60 / 9)
    assert found["whole_seconds"].iloc[0] == pytest.approx((20 + 60) / (20 + 9))
    assert whole_ratios(rows[~rows["online"]]).empty


def test_text_has_a_line_per_arm_and_says_which_are_online(rows):
    text = texts(whole_text(rows, ARMS))
    assert text["Arm"].tolist() == ["DPO", "DPO, round 2", "Online DPO"]
    assert text["Rounds"].tolist() == ["1", "2", "online"]
    assert text["Safe all"].str.contains("[", regex=False).all()
    assert len(pair_job_rows(WORK)) == 8


def test_an_arm_of_which_a_training_was_not_measured_is_left_out(rows, tmp_path):
    folder = tmp_path / "arm_1" / "seed0"
    folder.mkdir(parents=True)
    (folder / COST_FILE).write_text(json.dumps(SIZE | COSTS["arm_1"]), encoding="utf-8")
    metrics = metric_rows(verdict_table(arms=2, seeds=2, steps=1, prompts=8), {
        "harmful": {"axis": "safety"}, "look_alikes": {"axis": "over_refusal"}, "questions": {"axis": "helpfulness"},
    }, "id")  # fmt: skip
    assert whole_rows(read_costs([tmp_path]), WORK, metrics, ARMS).empty


def planned() -> dict:
    """Jobs of small.yaml with rounds.yaml laid over it."""
    raw, overlay = (
        yaml.safe_load((WORKFLOW / name).read_text(encoding="utf-8")) for name in ("small.yaml", "rounds.yaml")
    )
    raw |= {key: {**raw.get(key, {}), **value} for key, value in overlay.items() if isinstance(value, dict)}
    return Plan(load(raw)).report.pair_work()


def test_jobs_of_a_third_round_are_those_of_all_three():
    work = planned()
    third = work["round3"]
    assert third["trained"] == {"round3": 2, "round2": 2, "dpo": 2}
    assert third["rounds"] == 3
    kinds = pd.Series([kind for kind, *_ in third["jobs"]]).value_counts().to_dict()
    assert kinds == {"sampling": 2, "states": 6, "ranking": 3, "reference": 3}
    assert {timing for kind, _, timing in third["jobs"] if kind == "states"} == {
        f"results/small/benchmarks/{place}/eos/{shard}-of-2.tsv"
        for place in ("pool_states/harmful", "policy_states/harmful/dpo-seed0-step2",
            "policy_states/harmful/round2-seed0-step1")
        for shard in (0, 1)
    }  # fmt: skip
    assert ("reference", "results/small/reference/round2-seed0-step2/round3.parquet",
        "results/small/benchmarks/reference/round2-seed0-step2/round3.tsv") in third["jobs"]  # fmt: skip
    assert (work["online"]["online"], work["online"]["rounds"], work["online"]["jobs"]) == (True, 0, [])
    assert "base" not in work


def test_measures_are_read_from_manifests_and_benchmark_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = planned()["dpo"]["jobs"]
    for number, (_, output, timing) in enumerate(jobs):
        for path in (manifest_path(Path(output)), Path(timing)):
            path.parent.mkdir(parents=True, exist_ok=True)
        notes = {"tokens": 10, "prompt_tokens": 5, "ranked": 7}
        manifest = {"provenance_id": "id", "rule": "any", "seconds": number, "notes": notes}
        manifest_path(Path(output)).write_text(json.dumps(manifest), encoding="utf-8")
        Path(timing).write_text(f"s\th:m:s\n{number + 0.5}\t0\n", encoding="utf-8")
    found = read_work(planned())
    assert {"dpo", "confidence", "online"} <= set(found)
    assert "round2" not in found  # its own were not measured
    assert [job.kind for job in found["dpo"].jobs] == [kind for kind, *_ in jobs]
    assert found["dpo"].jobs[1] == PairJob("sampling", 1.5, 1.0, tokens=15, responses=7)
