"""A judge that asks a language model, through the workflow: planned, priced, run, failed and gone on, moved."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.unit.endpoint_server import Reply, serve
from tests.workflow.project import SMALL, Project

SECRET = "sk-not-to-be-seen-anywhere"
ASKED = "verdicts/untrained.base/small/criteria/0-of-1.parquet"
VERDICTS = f"results/small/{ASKED}"


def configuration(folder: Path, name: str, llm: dict, size: str = "tiny", rows: int = 100) -> Path:
    raw = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    raw["models"]["tiny"]["size"] = size
    raw["models"]["tiny"]["training"]["steps"] = 2
    raw["datasets"]["test"]["options"]["rows"] = rows
    raw["llms"] = {"reviewer": llm}
    raw["judges"]["criteria"] = {"kind": "safety_criteria", "llm": "reviewer", "options": {"attempts": 1}}
    for benchmark in raw["benchmarks"].values():
        benchmark["judges"].append("criteria")
    path = folder / name
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


def endpoint(url: str, **options) -> dict:
    return {"backend": "endpoint", "base_url": url, "name": "judge-1", "key_variable": "JUDGE_KEY", **options}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    return Project(tmp_path / "project")


@pytest.mark.slow
def test_a_job_asks_for_what_the_model_needs_that_it_loads_and_for_no_gpu_at_an_endpoint(project, tmp_path):
    asked = {}
    for name, llm in (("local", {"backend": "local", "model": "tiny"}), ("far", endpoint("http://localhost:1/v1"))):
        configured = configuration(tmp_path, f"{name}.yaml", llm, size="1b")
        output = project.snakemake("--dry-run", VERDICTS, configuration=configured)
        asked[name] = output.split("rule judge:")[1].split("\n\n")[0]
    assert all(text in asked["local"] for text in ("gpu=1", "mem_mb=32000", "runtime=120", "results/small/models/tiny"))
    assert "gpu=" not in asked["far"]
    assert "models/tiny" not in asked["far"]


@pytest.mark.slow
def test_verdicts_come_from_the_endpoint_and_survive_its_failure(project, tmp_path):
    def failing(number, body):
        if number == 3:
            return Reply(status=401)
        name = ("safe", "conditional", "unsafe")[number % 3]
        return Reply("no idea" if number == 5 else json.dumps({"analysis": "Read it.", "class": name}))

    run = ("--cores", "1", VERDICTS)
    with serve(failing) as served:
        configured = configuration(tmp_path, "first.yaml", endpoint(served.url, concurrency=1), rows=30)
        output = project.snakemake(*run, configuration=configured, fails=True)
        assert "refuses the key" in output
        assert "answers had come and are kept" in output
        assert SECRET not in output
        assert not (project.folder / VERDICTS).exists()
        project.snakemake(*run, configuration=configured)
    users = served.users
    assert len(users) == len(set(users)) + 1  # the request that failed alone was sent again

    folder = project.folder / "results" / "small"
    verdicts = pd.read_parquet(folder / ASKED)
    assert set(verdicts["judge"]) == {"criteria"}
    read = verdicts["said"] != ""
    assert (verdicts.loc[~read, "verdict"] == "malformed").all()
    assert not read.any() or verdicts.loc[read, "said"].str.contains("Read it.|no idea").all()
    notes = json.loads((folder / f"manifests/{ASKED}.json").read_text())
    assert notes["notes"]["llms"]["reviewer"]["from_cache"] == 3
    assert notes["params"]["judges"]["criteria"]["llm"]["model"] == "judge-1"
    assert served.url not in json.dumps(notes["params"])
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert not [text for text in texts if SECRET.encode() in text]

    moved = configuration(tmp_path, "moved.yaml", endpoint("http://elsewhere:9/v1", concurrency=7), rows=30)
    assert "Nothing to be done" in project.snakemake("--dry-run", VERDICTS, configuration=moved)
    other = configuration(tmp_path, "other.yaml", {**endpoint("http://elsewhere:9/v1"), "name": "judge-2"}, rows=30)
    assert project.planned(VERDICTS, configuration=other) == {"judge": 1}


COMPARED = "results/small/pairwise/twins.csv"


def comparison(folder: Path, url: str) -> Path:
    """Two untrained models of different seeds, compared on the harmful prompts."""
    path = configuration(folder, "pairwise.yaml", endpoint(url, concurrency=1), rows=30)
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    raw["models"]["twin"] = {**raw["models"]["tiny"], "seed": 1}
    raw["experiments"]["twin"] = {"model": "twin"}
    stanza = {"a": "base", "b": "twin", "benchmark": "harmful", "llm": "reviewer", "rows": 6, "attempts": 1}
    raw["report"]["pairwise"] = {"twins": stanza}
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.slow
def test_two_arms_are_compared_in_both_orders_and_the_table_holds_no_text(project, tmp_path):
    with serve(lambda number, body: Reply(json.dumps({"analysis": "Read both.", "better": "first"}))) as served:
        configured = comparison(tmp_path, served.url)
        planned = project.planned(COMPARED, configuration=configured)
        project.snakemake("--cores", "1", COMPARED, configuration=configured)
    assert (planned["compare"], planned["answer"], planned.get("train")) == (1, 2, None)
    (row,) = pd.read_csv(project.folder / COMPARED).to_dict("records")
    assert (row["a"], row["b"], row["n"], row["unread"]) == ("base", "twin", 6, 0)
    assert (row["wins"], row["losses"], row["ties"], row["win_rate"]) == (0, 0, 6, 0.5)  # the orders disagree
    assert row["disagreed"] * 2 == len(served.bodies)
    pairs = pd.read_parquet((project.folder / COMPARED).with_suffix(".parquet"))
    assert (pairs["said_a_first"] != "").sum() == row["disagreed"]
    assert "Read both" not in (project.folder / COMPARED).read_text(encoding="utf-8")
    assert "Nothing to be done" in project.snakemake(
        "--dry-run", COMPARED, configuration=comparison(tmp_path, "http://elsewhere:9/v1")
    )
