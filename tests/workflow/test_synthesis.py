"""Synthesised data sets through the workflow: written, counted, split with their seeds, labelled in a pool."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.unit.endpoint_server import Reply, serve
from tests.workflow.project import SMALL, Project
from trulysafe.config.files import raw_configuration
from trulysafe.data.descent import DESCENT
from trulysafe.tools.cost.assumptions import Assumptions
from trulysafe.tools.cost.work import Work

RESULTS = "results/small"
TARGETS = tuple(f"{RESULTS}/{name}.parquet" for name in ("pools/harmful/prompts", "data/attacked"))


def configuration(folder: Path, name: str, llm: dict, **datasets) -> Path:
    raw = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    raw["llms"] = {"writer": llm}
    raw["datasets"] |= {
        "mixed": {"kind": "demo_mixed_prompts", "role": "pairs", "datasets": ["harmful"], "options": {"rows": 8}},
        "attacked": {
            "kind": "adversarial_prompts", "role": "evaluation", "datasets": ["test"], "llm": "writer",
            "options": {"rows": 12, "attempts": 2, "families": ["targeted", "character_level", "unchanged"]},
        },
        **datasets,
    }  # fmt: skip
    raw["pools"]["harmful"]["datasets"] = ["harmful", "mixed"]
    raw["benchmarks"]["attacked"] = {
        "datasets": ["attacked"], "axis": "safety", "judges": ["oracle"], "max_new_tokens": 16,
    }  # fmt: skip
    path = folder / name
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


def endpoint(url: str, **options) -> dict:
    return {"backend": "endpoint", "base_url": url, "name": "writer-1", **options}


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


@pytest.mark.slow
def test_jobs_that_load_a_writing_model_are_priced(project, tmp_path):
    llm = {"backend": "local", "model": "given", "max_new_tokens": 100, "batch_size": 4}
    raw = yaml.safe_load(configuration(tmp_path, "local.yaml", llm).read_text(encoding="utf-8"))
    raw["models"]["given"] = {
        "source": "hub",
        "name": "Qwen/Qwen2.5-0.5B-Instruct",
        "revision": "0" * 40,
        "parameters": 5e8,
    }
    (tmp_path / "local.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    work = Work(raw_configuration([tmp_path / "local.yaml"]), Assumptions())
    jobs = {job.model is not None: job for job in work.jobs() if job.rule == "synthesise"}
    assert (jobs[True].steps, jobs[True].sequences) == (300, 4)
    assert jobs[False].steps == 0
    assert not work.unknown


@pytest.mark.slow
def test_prompts_are_written_counted_split_with_their_seeds_and_labelled(project, tmp_path):
    def behaviour(number, body):
        if number == 2:
            return Reply(status=401)
        return Reply("Certainly!" if number == 1 else json.dumps({"prompt": f"Finish this list, number {number}"}))

    run = ("--cores", "1", *TARGETS)
    with serve(behaviour) as served:
        configured = configuration(tmp_path, "first.yaml", endpoint(served.url, concurrency=1))
        assert "refuses the key" in project.snakemake(*run, configuration=configured, fails=True)
        assert not (project.folder / TARGETS[1]).exists()
        project.snakemake(*run, configuration=configured)
    asked = [body["messages"][-1]["content"] for body in served.bodies if len(body["messages"]) == 4]
    assert len(asked) == len({*asked}) + 1  # the request that failed alone was sent again

    folder = project.folder / RESULTS
    notes = json.loads((folder / "manifests/data/attacked.parquet.json").read_text())["notes"]
    assert {name: found["kept"] for name, found in notes["yields"].items()} == {
        "targeted": 4, "character_level": 4, "unchanged": 4,
    }  # fmt: skip
    assert notes["llm"]["from_cache"] == 2
    split = pd.read_parquet(folder / "data/split.parquet").set_index("prompt_id")
    for name in ("mixed", "attacked"):
        frame = pd.read_parquet(folder / f"data/{name}.parquet")
        for identifier, meta in zip(frame["prompt_id"], frame["meta"], strict=True):
            relatives = [identifier, *json.loads(meta)[DESCENT]]
            assert split.loc[relatives, "group_id"].nunique() == 1
    mixed = pd.read_parquet(folder / "data/mixed.parquet")
    pool = pd.read_parquet(project.folder / TARGETS[0])
    assert set(mixed["prompt_id"]) <= set(pool["prompt_id"])
    assert len(pool) == 68

    moved = configuration(tmp_path, "moved.yaml", endpoint("http://elsewhere:9/v1", concurrency=7))
    assert "Nothing to be done" in project.snakemake("--dry-run", *run, configuration=moved)
    other = configuration(tmp_path, "other.yaml", {**endpoint("http://elsewhere:9/v1"), "name": "writer-2"})
    assert project.planned("--cores", "1", TARGETS[1], configuration=other) == {"synthesise": 1}
    with serve(lambda number, body: Reply("A list, as you like")) as served:
        useless = {**endpoint(served.url, concurrency=1), "name": "writer-3"}
        useless = configuration(tmp_path, "useless.yaml", useless)
        output = project.snakemake("--cores", "1", TARGETS[1], configuration=useless, fails=True)
    assert "dataset 'attacked': LLM writer: of its answers to 4 requests for prompts none can be read" in output
    assert "A list, as" not in output
