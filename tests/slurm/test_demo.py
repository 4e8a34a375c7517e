"""The demo through ``snakemake --profile slurm`` to its end, job by job against SLURM's own record, and its tables
against a local run.

Two jobs at a time, which suits two cores; minutes in all. The model counts as one that needs a GPU
(tests/slurm/demo_on_gpus.yaml).
"""

import csv
import re
import time

import pytest

from tests.slurm.submitted import Submitted, megabytes, seconds
from tests.workflow.project import ROOT, Project
from trulysafe.plan.resources import REQUESTS
from trulysafe.trainers.step_cost import COST_FILE  # seconds, which are of the machine and the hour

pytestmark = [pytest.mark.slurm, pytest.mark.long, pytest.mark.timeout(5400)]
CONFIGURATION = (str(ROOT / "config" / "demo.yaml"), str(ROOT / "tests" / "slurm" / "demo_on_gpus.yaml"))
KIND = {
    "train_base": "train", "train": "train", "answer": "generate", "sample": "generate", "reward_states": "forward",
    "pool_states": "forward",
    "reference": "forward", "read_rewards": "forward",
}  # fmt: skip
LIGHT = {
    "split",
    "fit_labeller",
    "label_prompts",
    "annotated_pairs",
    "analyse_layers",
    "fit_reward",
    "judge",
    "kept_tokens",
    "rerank",
}
GROUPED = {"normalise", "leakage", "mix", "metrics", "draw_tables", "draw_figures"}
GROUPS = {"data", "mixes", "report"}
LOCAL = {"merged_config", "summarise", "costs", "all"}


@pytest.fixture(scope="module")
def demo(cluster_with_accounting, tmp_path_factory):
    """The finished run: its project, the run, its output, and SLURM's records of its jobs."""
    project = Project(tmp_path_factory.mktemp("demo") / "project")
    begun = time.monotonic()
    run = Submitted(
        cluster_with_accounting, project.folder, "--jobs", "2", "--configfile", *CONFIGURATION, profile="slurm",
        seconds=3600,
    )  # fmt: skip
    output = run.wait()
    wall, records = time.monotonic() - begun, run.jobs()
    in_jobs = sum(seconds(record["RunTime"]) for record in records)
    files = (project.folder / "results" / "demo" / "benchmarks").rglob("*.tsv")
    work = [float(next(csv.DictReader(file.open(encoding="utf-8"), delimiter="\t"))["s"]) for file in files]
    print(
        f"{wall:.0f} s in all; {len(records)} SLURM jobs of {in_jobs:.0f} s together, {sum(work):.0f} s of them the "
        f"work of {len(work)} rules' jobs"
    )
    return project, run, output, records


def rule_of(record):
    """The rule of a SLURM job, or its group and the rules in it."""
    return re.match(r"rule_([a-z_]+?)(_wildcards.*)?$", record["Comment"])[1]


def test_every_job_went_through_sbatch_once(demo):
    _, run, output, records = demo
    assert {record["JobId"] for record in records} == run.ids()
    assert {record["JobState"] for record in records} == {"COMPLETED"}
    ran = re.findall(r"^ *(local)?(?:rule|checkpoint) (\w+):", output, re.MULTILINE)
    assert {rule for where, rule in ran if where} == LOCAL
    assert {rule for where, rule in ran if not where} == {*KIND, *LIGHT, *GROUPED}
    alone = [record["Comment"] for record in records if rule_of(record) in {*KIND, *LIGHT}]
    assert len(alone) == len(set(alone)) == sum(rule in {*KIND, *LIGHT} for _, rule in ran)
    assert {rule_of(record).split("_")[0] for record in records if rule_of(record) not in {*KIND, *LIGHT}} == GROUPS
    assert re.search(r"^(\d+) of \1 steps \(100%\) done", output, re.MULTILINE)


def test_slurm_granted_what_the_table_and_the_profile_ask_for(demo, cluster_with_accounting):
    *_, records = demo
    accounts = cluster_with_accounting.run(
        "sacct", "-X", "-n", "-P", "--format=JobID,State,Partition,AllocTRES,TimelimitRaw"
    )
    kept = {line.split("|")[0]: line.split("|")[1:] for line in accounts.splitlines()}
    for record in records:
        rule = rule_of(record)
        state, partition, granted, minutes = kept[record["JobId"]]
        tres = dict(item.split("=") for item in granted.split(","))
        asked = REQUESTS[KIND[rule]]["1b"] if rule in KIND else None
        assert state == "COMPLETED"
        assert partition == record["Partition"] == ("gpu" if asked else "cpu"), record
        assert tres.get("gres/gpu") == ("1" if asked else None), record
        assert tres == dict(item.split("=") for item in record["TRES"].split(",")), record
        if asked:
            found = (int(tres["cpu"]), megabytes(tres["mem"]), int(minutes))
            assert found == (asked.cores, asked.memory_gb * 1000, asked.minutes), record
        elif rule in LIGHT:
            assert (megabytes(tres["mem"]), int(minutes)) == (4000, 60), record
        else:  # jobs of a group: those side by side add up their memory, those one after the other their time
            assert megabytes(tres["mem"]) % 4000 == 0, record
            assert int(minutes) % 60 == 0, record


def test_tables_are_those_of_a_local_run(demo, tmp_path):
    project, *_ = demo
    local = Project(tmp_path / "project")
    local.snakemake(configuration=ROOT / "config" / "demo.yaml", seconds=1800)
    for part in ("data", "pairs", "mixes", "models", "policies", "answers", "verdicts", "metrics", "tables"):
        remote, own = (
            {
                path: content
                for path, content in made.bytes_under(f"results/demo/{part}").items()
                if not path.endswith(COST_FILE)
            }
            for made in (project, local)
        )
        assert remote == own, part
    assert "Nothing to be done" in project.snakemake(
        *CONFIGURATION[1:], "--dry-run", configuration=ROOT / "config" / "demo.yaml"
    )
