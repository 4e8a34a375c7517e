from math import inf

import pytest

from tests.workflow.project import SMALL
from trulysafe.cluster_check import slurm
from trulysafe.cluster_check.profile import read_profile
from trulysafe.cluster_check.slurm import minutes, preemption
from trulysafe.cluster_check.submissions import jobs_of
from trulysafe.config import load
from trulysafe.config.files import raw_configuration
from trulysafe.config.plan import Plan
from trulysafe.errors import UserError


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("30:00", 30), ("12:00:00", 720), ("1-00:00:00", 1440), ("2-12:30:00", 3630), ("infinite", inf), ("n/a", inf)],
)
def test_time_limits(limit, expected):
    assert minutes(limit) == expected


def test_a_folder_without_a_profile(tmp_path):
    with pytest.raises(UserError, match=r"holds no config\.yaml"):
        read_profile(tmp_path)


def test_profile_as_a_list_of_assignments(tmp_path):
    (tmp_path / "config.yaml").write_text("retries: 1\ndefault-resources: [slurm_partition=long, runtime=60]\n")
    profile = read_profile(tmp_path)
    assert profile.site.slurm_partition == "long"
    assert profile.attempts == 2


@pytest.mark.parametrize(
    ("kind", "mode", "setting", "expected"),
    [
        ("none", "REQUEUE", "", None),
        ("partition_prio", "OFF", "", None),
        ("partition_prio", "REQUEUE", "", "note: gpu preempts jobs, for which Snakemake would wait for ever: set slurm-requeue: true"),
        ("partition_prio", "REQUEUE", "slurm-requeue: true", "ok: preempted jobs of gpu are requeued"),
        ("qos", "CANCEL", "slurm-requeue: true", "note: gpu preempts jobs, for which Snakemake would wait for ever: then Ctrl-C"),
    ],
)  # fmt: skip
def test_preemption(tmp_path, monkeypatch, kind, mode, setting, expected):
    (tmp_path / "config.yaml").write_text(
        f"{setting}\ndefault-resources: {{slurm_partition: gpu, gpu_partition: gpu}}\n"
    )
    shown = {
        "config": f"PreemptMode = {mode}\nPreemptType = preempt/{kind}\n",
        "partition": f"PartitionName=gpu PreemptMode={mode} State=UP",
    }
    monkeypatch.setattr(slurm, "command", lambda *words: shown["partition" if "partition" in words else "config"])
    found = [f"{finding.state}: {finding.says}" for finding in preemption(read_profile(tmp_path))]
    assert len(found) == (expected is not None)
    assert not expected or found[0].startswith(expected)


def test_every_kind_of_job_of_a_configuration_is_asked_about():
    raw = raw_configuration([SMALL])
    raw["training"] |= {"engine": "zero3", "processes": 4, "nodes": 2}
    raw["experiments"]["dpo"]["training"] = {"engine": "ddp", "processes": 2, "nodes": 1}
    asked = [str(job) for job in jobs_of(Plan(load(raw)))]
    trainings = [
        "train tiny",
        "train tiny, 2 processes",
        "train tiny, 2 nodes, 2 processes",
    ]  # the base, dpo, the others
    assert asked == ["forward tiny", "generate tiny", *trainings]
