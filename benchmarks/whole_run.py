"""A whole run of the workflow: its wall time against the work of its jobs spread evenly over the cores.

The smallest configuration by default, which goes through every stage; ``--demo`` takes the demo (minutes).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
from benchmarks.inputs import options
from benchmarks.measure import timed

ROOT = Path(__file__).resolve().parents[1]
SMALL, DEMO = ROOT / "tests" / "workflow" / "small.yaml", ROOT / "config" / "demo.yaml"
SCENARIO = "benchmark_of_a_whole_run"


def run(configuration: Path, cores: int) -> tuple[float, pd.DataFrame]:
    """Wall seconds of a run from nothing, and what Snakemake measured of each job."""
    folder = ROOT / "results" / SCENARIO
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--quiet", "all"]
    command += ["--configfile", str(configuration), "--config", f"scenario={SCENARIO}"]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    seconds, done = timed(lambda: subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment))
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    jobs = pd.concat([pd.read_csv(file, sep="\t") for file in sorted((folder / "benchmarks").rglob("*.tsv"))])
    shutil.rmtree(folder)
    return seconds, jobs


def main() -> None:
    """Measure and record."""
    whole = "--demo" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--demo"]
    _, record = options("whole_run", __doc__ or "", ("demo",))
    cores = record.common["machine"]["cores"]
    seconds, jobs = run(DEMO if whole else SMALL, cores)
    work = {"ours": [seconds], "jobs over cores": [float(jobs["s"].sum()) / cores]}
    facts = {
        "jobs": len(jobs),
        "peak MiB of a job": float(jobs["max_rss"].max()),
        "longest job, s": float(jobs["s"].max()),
    }
    name = "the demo" if whole else "the smallest configuration"
    told = "the jobs' own time (starting Python and loading libraries in it) spread evenly over the cores"
    record.compare(f"{name}: wall time", work, "ours", "jobs over cores", unit="run", bound=told, cores=cores, **facts)


if __name__ == "__main__":
    main()
