"""The workflow through ``snakemake --profile slurm`` on a real SLURM that keeps accounts."""

import re

import pytest

from tests.slurm.submitted import Submitted, megabytes
from tests.workflow.project import ROOT, Project

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
CONFIGURATION = ROOT / "tests" / "slurm" / "ten_jobs.yaml"
GPU_RULES = {"train_base"}
LOCAL_RULES = {"merged_config"}


@pytest.fixture(scope="module")
def pairs(cluster_with_accounting, tmp_path_factory):
    """Everything up to the training sets, with an accident on the way: the training of the base model is cancelled."""
    project = Project(tmp_path_factory.mktemp("run") / "project")
    run = Submitted(
        cluster_with_accounting, project.folder, "pairs", "results/ten_jobs/config.yaml",
        "--configfile", str(CONFIGURATION), profile="slurm",
    )  # fmt: skip
    cancelled = run.job("rule_train_base")
    cluster_with_accounting.run("scancel", cancelled)
    return project, run, run.wait(), cancelled


def test_every_job_but_the_local_one_went_through_sbatch(pairs):
    _, run, output, _ = pairs
    records = run.jobs()
    assert {job["JobId"] for job in records} == run.ids()
    ran = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", output, re.MULTILINE)
    by_slurm = {re.match(r"rule_([a-z_]+?)(_wildcards.*)?$", job["Comment"])[1] for job in records}
    assert by_slurm == {"data_normalise", "split", "train_base", "annotated_pairs", "mixes_leakage_mix"}
    assert set(ran) >= LOCAL_RULES
    assert {job["JobState"] for job in records} == {"COMPLETED", "CANCELLED"}


def test_jobs_ran_with_what_was_asked_for(pairs, cluster_with_accounting):
    _, run, _, cancelled = pairs
    again = next(job["JobId"] for job in run.jobs() if "train_base" in job["Comment"] and job["JobId"] != cancelled)
    for job in run.jobs():
        on_gpu = any(rule in job["Comment"] for rule in GPU_RULES)
        attempt = 2 if job["JobId"] == again else 1
        granted = dict(item.split("=") for item in job["TRES"].split(","))
        assert job["Partition"] == ("gpu" if on_gpu else "cpu")
        assert ("gres/gpu" in granted) == on_gpu
        assert job["NumTasks"] == "1"
        assert job["Requeue"] == "0"
        if on_gpu:
            assert granted["gres/gpu"] == "1"
            assert granted["cpu"] == "8"
            assert megabytes(granted["mem"]) == 64000 * attempt
            assert job["TimeLimit"] == f"{4 * attempt:02d}:00:00"
    accounts = cluster_with_accounting.run("sacct", "-X", "-n", "-P", "--format=JobID,State,AllocTRES").splitlines()
    kept = {line.split("|")[0]: line for line in accounts}
    assert all(job["JobId"] in kept for job in run.jobs())
    assert "gres/gpu=1" in kept[again]
    assert kept[cancelled].split("|")[1].startswith("CANCELLED")


def test_a_cancelled_job_costs_one_job_and_no_byte(pairs, tmp_path):
    project, run, *_ = pairs
    assert len([job for job in run.jobs() if "train_base" in job["Comment"]]) == 2
    assert len(run.jobs()) == len({job["Comment"] for job in run.jobs()}) + 1
    undisturbed = Project(tmp_path / "project")
    undisturbed.snakemake(
        "--keep-going", "pairs", configuration=CONFIGURATION
    )  # a target right after a list of files would be one
    for part in ("data", "pairs", "mixes", "models"):
        assert project.bytes_under(f"results/ten_jobs/{part}") == undisturbed.bytes_under(f"results/ten_jobs/{part}")
    assert "Nothing to be done" in project.snakemake("--dry-run", "pairs", configuration=CONFIGURATION)


def test_logs_are_where_the_profile_says(pairs):
    project, _, _, cancelled = pairs
    log = project.folder / "logs" / "slurm" / "rule_train_base" / "tiny" / f"{cancelled}.log"
    assert "CANCELLED" in log.read_text(encoding="utf-8")
