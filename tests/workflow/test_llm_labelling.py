"""A labeller that asks a language model, through the workflow: planned, run, killed and gone on, moved to another
address."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.unit.endpoint_server import Reply, serve
from tests.workflow.project import SMALL, Project
from trulysafe.config.files import raw_configuration
from trulysafe.tools.cost.assumptions import Assumptions
from trulysafe.tools.cost.work import Work

SECRET = "sk-not-to-be-seen-anywhere"
PROMPTS = "results/small/pools/harmful/prompts.parquet"
TESTED = "results/small/labellers/risk"


def configuration(folder: Path, name: str, llm: dict, **model) -> Path:
    raw = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    raw["models"]["tiny"] |= model
    raw["llms"] = {"reviewer": llm}
    raw["labellers"] = {
        "risk": {"kind": "llm", "llm": "reviewer", "datasets": ["risk_labels"], "options": {"attempts": 2, "rows": 12}}
    }
    path = folder / name
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


def endpoint(url: str, **options) -> dict:
    return {
        "backend": "endpoint",
        "base_url": url,
        "name": "reviewer-1",
        "key_variable": "REVIEWER_KEY",
        **options,
    }


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("REVIEWER_KEY", SECRET)
    return Project(tmp_path / "project")


def test_a_local_model_is_trained_before_it_is_asked(project, tmp_path):
    configured = configuration(tmp_path, "local.yaml", {"backend": "local", "model": "tiny"})
    planned = project.planned(PROMPTS, configuration=configured)
    assert {name: planned.get(name) for name in ("train_base", "fit_labeller", "label_prompts")} == {
        "train_base": 1,
        "fit_labeller": 1,
        "label_prompts": 1,
    }


@pytest.mark.slow
def test_jobs_that_load_a_labelling_model_ask_for_what_it_needs_and_are_priced(project, tmp_path):
    local, asked = {"backend": "local", "model": "tiny", "max_new_tokens": 100}, {}
    for name, llm in (("local", local), ("endpoint", endpoint("http://localhost:1/v1"))):
        configured = configuration(tmp_path, f"{name}.yaml", llm, size="1b")
        output = project.snakemake("--dry-run", PROMPTS, configuration=configured)
        asked[name] = next(block for block in output.split("\n\n") if "rule label_prompts:" in block)
        jobs = {job.rule: job for job in Work(raw_configuration([configured]), Assumptions()).jobs()}
        assert (jobs["label_prompts"].model is not None) == (name == "local")
        assert (jobs["fit_labeller"].steps, jobs["fit_labeller"].sequences) == ((200, 8) if name == "local" else (0, 0))
    assert all(text in asked["local"] for text in ("gpu=1", "mem_mb=32000", "runtime=120"))
    assert "gpu=" not in asked["endpoint"]


@pytest.mark.slow
def test_labels_come_from_the_endpoint_and_survive_its_failure(project, tmp_path):
    def failing(number, body):
        if number == 5:
            return Reply(status=401)
        return Reply("no idea" if number % 4 == 0 else json.dumps({"analysis": "Looked at.", "class": "mixed"}))

    first = ("--cores", "1", PROMPTS)
    with serve(failing) as served:
        configured = configuration(tmp_path, "first.yaml", endpoint(served.url, concurrency=1))
        output = project.snakemake(*first, configuration=configured, fails=True)
        assert "refuses the key" in output
        assert "5 of 12 answers had come and are kept" in output
        assert SECRET not in output
        assert not (project.folder / TESTED).exists()
        before = len(served.bodies)
        project.snakemake(*first, configuration=configured)
        again = served.bodies[before:]
    asked = {body["messages"][1]["content"] for body in served.bodies[:5]}
    assert not [body for body in again if body["messages"][1]["content"] in asked and len(body["messages"]) == 2]

    folder = project.folder / "results" / "small"
    labelled = pd.read_parquet(project.folder / PROMPTS)
    assert set(labelled["risk"]) <= {"MHD", "unparsed"}
    assert (labelled["risk"] == "MHD").any()
    notes = json.loads((folder / "manifests/pools/harmful/prompts.parquet.json").read_text())["notes"]
    assert sum(notes["prompts"].values()) == len(labelled)
    assert notes["llm"]["asked"] > 0
    tested = json.loads((folder / "manifests/labellers/risk.json").read_text())
    assert tested["notes"]["scores"]["llm"]["n"] == 12
    assert tested["notes"]["llm"]["from_cache"] >= 5
    assert tested["params"]["llm"]["model"] == "reviewer-1"
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert not [text for text in texts if SECRET.encode() in text]

    moved = configuration(tmp_path, "moved.yaml", endpoint("http://elsewhere:9/v1", concurrency=7, timeout=1))
    assert not list(folder.glob("models/*"))  # no model was trained for an endpoint
    assert "Nothing to be done" in project.snakemake("--dry-run", PROMPTS, configuration=moved)
    other = configuration(tmp_path, "other.yaml", {**endpoint("http://elsewhere:9/v1"), "name": "reviewer-2"})
    assert project.planned(PROMPTS, configuration=other) == {"fit_labeller": 1, "label_prompts": 1}
