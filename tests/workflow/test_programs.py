"""A benchmark of functions to complete through the workflow: refused, run to the end, refused by the machine."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.unit.sandbox_world import needs_isolation
from tests.workflow.project import SMALL, Project
from trulysafe.common.errors import UserError
from trulysafe.config.load import load
from trulysafe.plan.checks import check_inputs

BODY = "return 1"
"""What the model learns to answer to everything."""


@pytest.fixture
def raw(tmp_path: Path) -> dict[str, Any]:
    """One model, which has learnt one answer, and functions of which that is right for half."""
    given = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    kept = {key: given[key] for key in ("scenario", "models", "batching")}
    kept["data"] = str(tmp_path)
    kept["models"]["tiny"]["training"]["steps"] = 60
    words = random.Random(0)
    corpus = [{"question": "".join(words.choices("abcdefgh ", k=40)), "answer": BODY} for _ in range(300)]
    functions = [
        {
            "task_id": f"T/{number}",
            "prompt": f'def f{number}():\n    """Return {"one" if number % 2 else "nothing"}."""\n',
            "entry_point": f"f{number}",
            "test": f"def check(candidate):\n    assert candidate() == {1 if number % 2 else None}",
        }
        for number in range(8)
    ]
    for name, rows in (("corpus", corpus), ("functions", functions)):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    columns = {"prompt": "question", "response": "answer"}
    kept["datasets"] = {
        "corpus": {"kind": "jsonl", "role": "corpus", "options": {"path": "corpus.jsonl", "columns": columns}},
        "functions": {"kind": "humaneval", "role": "evaluation", "options": {"path": "functions.jsonl"}},
    }
    kept["judges"] = {"tests": {"kind": "python_tests", "options": {"run_programs": True}}}
    functions_to_complete = {"datasets": ["functions"], "axis": "helpfulness", "judges": ["tests"]}
    kept["benchmarks"] = {"functions": {**functions_to_complete, "max_new_tokens": 16}}
    kept["experiments"] = {"base": {"model": "tiny"}}
    return kept


def written(raw: dict[str, Any], folder: Path) -> Path:
    path = folder / "programs.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


def test_without_a_word_of_the_user_it_is_refused_before_any_job(raw: dict[str, Any]) -> None:
    check_inputs(load(raw))
    raw["judges"]["tests"].pop("options")
    with pytest.raises(UserError, match=r"judges.tests: this judge executes(.|\n)*run_programs: true"):
        check_inputs(load(raw))


@needs_isolation
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_programs_are_run_and_end_in_helpful(tmp_path: Path, raw: dict[str, Any]) -> None:
    project = Project(tmp_path / "project")
    project.snakemake("--", "results/small/metrics/metrics.parquet", configuration=written(raw, tmp_path))
    results = project.folder / "results" / "small"
    answers = pd.read_parquet(results / "answers/untrained.base/functions/0-of-1.parquet")
    assert set(answers["response"]) == {BODY}
    rows = pd.read_parquet(results / "metrics/metrics.parquet")
    helpful = rows[(rows["metric"] == "helpful") & (rows["judge"] == "tests") & (rows["risk"] == "all")]
    assert set(helpful["value"]) == {0.5}
    assert set(helpful["n"]) == {8}
    log = (results / "logs/judge/untrained.base/functions/tests/0-of-1.log").read_text(encoding="utf-8")
    assert "Programs: 4 failed, 4 passed." in log


@needs_isolation
@pytest.mark.slow
def test_a_machine_without_isolation_is_named_before_any_job(tmp_path: Path, raw: dict[str, Any]) -> None:
    project = Project(tmp_path / "project")
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = project.command("--", "tables", configuration=written(raw, tmp_path))
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", *command],
        cwd=project.folder, env=project.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Programs that a model wrote run in isolation or not at all" in done.stderr
    assert not (project.folder / "results").exists()
