"""What a SLURM job costs beside the same work done locally: ``python -m tests.slurm.overhead``, best on a machine with
nothing else to do.

tests/slurm/ten_jobs.yaml runs on a one-machine cluster that keeps accounts, then locally. Per job: seconds of the
work itself (Snakemake's benchmark file), seconds of the whole SLURM job, and the same in processor time, which a busy
machine changes less.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from pathlib import Path

from tests.slurm.one_machine import Cluster, missing
from tests.slurm.submitted import Submitted, seconds
from tests.workflow.project import ROOT, Project

CONFIGURATION = ROOT / "tests" / "slurm" / "ten_jobs.yaml"
JOBS = {
    "rule_split": "split",
    "rule_train_base_wildcards_tiny": "train_base/tiny",
    "rule_annotated_pairs_wildcards_harmless": "annotated_pairs/harmless",
    "rule_reference_wildcards_tiny_harmless": "reference/tiny/harmless",
    "rule_train_wildcards_tiny.dpo-0": "train/tiny.dpo-0",
    "rule_answer_wildcards_tiny.dpo-0_0_1": "answer/tiny.dpo-0/0-of-1",
    "rule_judge_wildcards_tiny.dpo-0_0_1": "judge/tiny.dpo-0/0-of-1",
}
"""SLURM's comment -> Snakemake's benchmark file, of the jobs that are one rule each."""


def main() -> None:
    """Run both and print the table."""
    if reason := missing(accounting=True):
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        folder = Path(name)
        local, remote = Project(folder / "local"), Project(folder / "remote")
        (folder / "slurm").mkdir()
        with Cluster(folder / "slurm", accounting=True) as cluster:
            start = time.monotonic()
            run = Submitted(cluster, remote.folder, "--configfile", str(CONFIGURATION), profile="slurm")
            run.wait()
            jobs = run.jobs()
            print(f"through SLURM: {time.monotonic() - start:.0f} s, {len(jobs)} jobs")
            for job in jobs:
                print(
                    job["JobId"],
                    job["Comment"],
                    job["JobState"],
                    job["Partition"],
                    job["TRES"],
                    job["TimeLimit"],
                    flush=True,
                )
                if job["Comment"] in JOBS:
                    file = remote.folder / "results" / "ten_jobs" / "benchmarks" / f"{JOBS[job['Comment']]}.tsv"
                    print(compared(cluster, job, next(csv.DictReader(file.open(encoding="utf-8"), delimiter="\t"))))
        start = time.monotonic()
        local.snakemake(configuration=CONFIGURATION)
        print(f"locally: {time.monotonic() - start:.0f} s")


def compared(cluster: Cluster, job: dict[str, str], work: dict[str, str]) -> str:
    """One line: a job's seconds and processor seconds, of the work and in all."""
    used = cluster.wait_for("sacct", "-n", "-P", "-o", "TotalCPU", "-j", job["JobId"], shows=r"\d").split()[0]
    wall, processor = seconds(job["RunTime"]), seconds(used)
    work_wall, work_processor = float(work["s"]), float(work["cpu_time"])
    return (
        f"{job['Comment']}: {work_wall:.1f} s of work in a job of {wall:.0f} s ({wall - work_wall:.1f} s more); "
        f"processor time {work_processor:.1f} s in {processor:.1f} s ({processor - work_processor:.1f} s more)"
    )


if __name__ == "__main__":
    main()
