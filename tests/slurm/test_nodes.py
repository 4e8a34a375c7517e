"""A training over two nodes of a real SLURM, one gloo process on each."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.slurm.submitted import Submitted, slurm_log
from tests.unit import training_world as world
from trulysafe.train.jobs import train_run
from trulysafe.train.run import CHECKPOINTS, DATA

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
HERE = Path(__file__).resolve().parent
STEPS = 40


def test_two_nodes_train_what_one_process_trains_also_when_they_are_stopped_half_way(cluster, tmp_path):
    for name in ("nodes.smk", "nodes.py"):
        shutil.copy(HERE / name, tmp_path)
    spec = world.save_model(tmp_path / "model")
    data = world.dataset(spec)
    data.save_to_disk(tmp_path / DATA)
    options = {"steps": STEPS, "learning_rate": 1e-3}
    one = world.run(tmp_path / "one", spec, **options)
    train_run(one, lambda: data)
    launch = {"engine": "ddp", "processes": 2, "nodes": 2, "checkpoint_steps": 1}
    two = world.run(tmp_path / "two", spec, launch=launch, **options)
    two.place.mkdir()
    (two.place / "run.json").write_text(json.dumps(asdict(two)), encoding="utf-8")

    submitted = Submitted(cluster, tmp_path, "--snakefile", "nodes.smk")
    submitted.until(lambda: list((two.place / CHECKPOINTS).glob("checkpoint-*/complete.json")), "no checkpoint")
    cluster.run("scancel", "--signal=TERM", submitted.job("rule_train"))
    submitted.wait()

    stopped, finished = submitted.jobs()
    assert [job["JobState"] for job in (stopped, finished)] == ["FAILED", "COMPLETED"]
    for job in (stopped, finished):
        assert (job["NodeList"], job["NumTasks"], job["CPUs/Task"], job["TresPerNode"]) == (
            "one,two",
            "2",
            "8",
            "gres:gpu:1",
        )
    assert "a checkpoint is kept" in slurm_log(tmp_path, stopped)
    assert "Going on from" in slurm_log(tmp_path, finished)
    places = (tmp_path / "model", *(made.place / "policy" / f"step{STEPS}" for made in (one, two)))
    start, first, second = (load_file(place / "model.safetensors") for place in places)
    moved, apart = (
        sum(float((first[name] - other[name]).square().sum()) for name in first) ** 0.5 for other in (start, second)
    )
    assert moved > 0
    assert apart < 0.01 * moved
