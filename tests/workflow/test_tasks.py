"""Benchmark tasks through the workflow: refused, planned, priced, run to metrics, contrasts and the main table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.unit import task_world
from tests.workflow.project import SMALL, Project
from trulysafe.common.errors import UserError
from trulysafe.config.load import load
from trulysafe.plan.checks import check_inputs
from trulysafe.tools.cost.assumptions import Assumptions
from trulysafe.tools.cost.work import RULES, Work
from trulysafe.workflow.fingerprint import closure


@pytest.fixture
def raw(tmp_path: Path) -> dict[str, Any]:
    """Two untrained models, answers to one benchmark, and choices in three tasks that share a job."""
    given = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    kept = {key: given[key] for key in ("scenario", "split", "models", "judges", "batching")}
    kept["data"] = str(tmp_path / "data")
    kept["models"]["other"] = {**kept["models"]["tiny"], "seed": 1}
    kept["datasets"] = {name: given["datasets"][name] for name in ("corpus", "test")}
    kept["benchmarks"] = {"harmful": given["benchmarks"]["harmful"]}
    for task in task_world.TASKS[:3]:
        path = f"{task}.jsonl"
        task_world.write_documents(tmp_path / "data" / path, task_world.documents(task, 12))
        options = {"path": path, "prompt": task_world.PROMPT[task]}
        kept["datasets"][task] = {"kind": "documents", "role": "evaluation", "options": options}
        kept["benchmarks"][task] = {"task": task, "datasets": [task], "axis": "helpfulness", "rows": 10, "job": "tasks"}
    kept["benchmarks"]["hellaswag"]["metric"] = "acc_norm"
    kept["experiments"] = {"base": {"model": "tiny"}, "other": {"model": "other"}}
    kept["report"] = {"contrasts": {"models": {"a": "other", "b": "base", "metric": "helpful"}}}
    return kept


def written(raw: dict[str, Any], folder: Path) -> Path:
    path = folder / "tasks.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_choices_reach_metrics_contrasts_and_the_main_table(tmp_path: Path, raw: dict[str, Any]) -> None:
    """Without a judge and without an answer."""
    del raw["judges"], raw["benchmarks"]["harmful"]
    project = Project(tmp_path / "project")
    project.snakemake("--", "tables", configuration=written(raw, tmp_path))
    results = project.folder / "results" / "small"
    chosen = pd.concat(
        pd.read_parquet(results / "chosen" / f"untrained.{arm}" / "tasks" / "0-of-1.parquet")
        for arm in ("base", "other")
    )
    kept = results / "task_answers" / "untrained.base" / "tasks" / "0-of-1.parquet"
    assert len(pd.read_parquet(kept)) == 30
    manifest = results / "manifests" / kept.relative_to(results).with_name(f"{kept.name}.json")
    notes = json.loads(manifest.read_text(encoding="utf-8"))["notes"]
    assert set(notes["tasks"]) == set(task_world.TASKS[:3])
    assert {"harness", "chat_template", "documents"} <= set(notes)
    rows = pd.read_parquet(results / "metrics" / "metrics.parquet")
    rows = rows[(rows["seed"] == 0) & (rows["metric"] == "helpful")]
    rows = rows.set_index(["experiment", "benchmark", "judge", "risk"])
    for (arm, benchmark, judge), of_cell in chosen.groupby(["experiment", "benchmark", "judge"]):
        measured = rows.loc[(arm, benchmark, judge, "all")]
        assert (measured["value"], measured["n"]) == (pytest.approx(of_cell["correct"].mean()), 10)
        assert measured["ci_low"] <= measured["value"] <= measured["ci_high"]
    metric = chosen["benchmark"].map(lambda name: raw["benchmarks"][name].get("metric", "acc"))
    shares = chosen[chosen["judge"] == metric].groupby("experiment")["correct"].mean()
    contrast = pd.read_csv(results / "metrics" / "contrasts.csv").iloc[0]
    assert contrast["difference"] == pytest.approx(shares["other"] - shares["base"])
    assert contrast["n"] == 30
    assert "Helpful" in (results / "tables" / "main.md").read_text(encoding="utf-8")
    raw["benchmarks"]["hellaswag"]["metric"] = "acc"
    planned = project.planned("--", "tables", configuration=written(raw, tmp_path))
    assert {"choose", "normalise"}.isdisjoint(planned)
    assert planned["metrics"] == 1
    raw["benchmarks"]["winogrande"]["rows"] = 5
    assert project.planned("--", "tables", configuration=written(raw, tmp_path))["choose"] == 2


def test_jobs_are_priced(raw: dict[str, Any]) -> None:
    work = Work(raw, Assumptions())
    jobs = [job for job in work.jobs() if job.rule == "choose"]
    assert "choose" in RULES
    assert not work.unknown
    assert sorted(job.forward_tokens for job in jobs) == [3 * 10 * 4 * 60] * 2
    assert all(job.model and job.loads == 1 for job in jobs)


def test_answers_are_priced_by_what_is_written(raw: dict[str, Any]) -> None:
    written = {"task": "gsm8k", "metric": "exact_match", "filter": "strict-match", "shots": 3}
    raw["benchmarks"]["arc_easy"] |= written
    jobs = [job for job in Work(raw, Assumptions()).jobs() if job.rule == "choose"]
    assert [job.steps for job in jobs] == [256, 256]
    assert [job.forward_tokens for job in jobs] == [(10 * 4 + 2 * 10 * 4) * 60] * 2
    raw["benchmarks"]["arc_easy"]["max_new_tokens"] = 100
    assert [job.steps for job in Work(raw, Assumptions()).jobs() if job.rule == "choose"] == [100, 100]


def test_no_other_script_hangs_on_the_harness() -> None:
    root = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
    hanging = {
        script.stem
        for script in root.glob("*.py")
        if any("import lm_eval" in (text := path.read_text()) or "from lm_eval" in text for path in closure(script))
    }
    assert hanging == {"choose"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"judges": ["oracle"]}, r"benchmarks.arc_easy.judges: is not read with a `task`"),
        ({"max_new_tokens": 8}, r"benchmarks.arc_easy.max_new_tokens: is not read with a `task` of choices"),
        ({"cut_off": "malformed"}, r"benchmarks.arc_easy.cut_off: is not read with a `task`"),
        ({"axis": "safety"}, r"benchmarks.arc_easy.axis: 'safety' is not accepted with a `task`.* helpfulness"),
        ({"task": None}, r"benchmarks.arc_easy.judges: missing. .* `task`"),
        ({"task": None, "judges": ["oracle"], "shots": 2}, r"benchmarks.arc_easy.shots: is read only with a `task`"),
        ({"shots": -1}, r"benchmarks.arc_easy.shots: -1 is not accepted"),
        ({"shots_from": ["train"]}, r"benchmarks.arc_easy.shots_from: 'train' is not accepted"),
        ({"metric": "f1"}, r"benchmarks.arc_easy.metric: 'f1' is not accepted.* acc, acc_norm, exact_match"),
        ({"datasets": ["test"]}, r"benchmarks.arc_easy.task: 'test' is of the kind 'demo'.* 'documents'"),
        ({"shots_from": ["test"]}, r"benchmarks.arc_easy.task: 'test' is of the kind 'demo'"),
        ({"task": "arc_eazy"}, r"benchmarks.arc_easy.task: 'arc_eazy' is no task of .* Did you mean arc_easy"),
        ({"task": "gsm8k"}, r"benchmarks.arc_easy.task: the task 'gsm8k' does not report acc. Accepted: exact_match"),
        ({"task": "gsm8k", "metric": "exact_match"}, r"benchmarks.arc_easy.task: .* name one as `filter`. Acc"),
        ({"filter": "strict-match"}, r"benchmarks.arc_easy.task: the task 'arc_easy' has no filters"),
        ({"task": "winogrande", "metric": "acc_norm"}, r"benchmarks.arc_easy.task: .* does not report acc_norm"),
    ],
)  # fmt: skip
def test_mistakes_are_named_before_any_job(raw: dict[str, Any], change: dict[str, Any], said: str) -> None:
    raw["benchmarks"]["arc_easy"] |= change
    with pytest.raises(UserError, match=said):
        check_inputs(load(raw))


def test_no_new_samples_are_drawn_for_a_task(tmp_path: Path) -> None:
    raw = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    task_world.write_documents(tmp_path / "arc.jsonl", task_world.documents("arc_easy", 4))
    options = {"folder": str(tmp_path), "path": "arc.jsonl", "prompt": "question"}
    raw["datasets"]["arc"] = {"kind": "documents", "role": "evaluation", "options": options}
    raw["benchmarks"]["arc"] = {"task": "arc_easy", "datasets": ["arc"], "axis": "helpfulness"}
    raw["drift"] = {"experiments": ["dpo"], "pool": "harmful", "benchmark": "arc"}
    with pytest.raises(UserError, match=r"^(.|\n)*drift.benchmark: 'arc' is a task"):
        load(raw)
