"""All benchmarks, one process each: ``make bench`` on a CPU, ``make bench-gpu`` on a GPU; then the page of results."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from time import perf_counter

from benchmarks.machine import described
from benchmarks.measure import RESULTS, Record
from benchmarks.whole_run import noted

ON_CPU = (
    ("representations", "demo"), ("representations", "smollm2"), ("reference", "demo"), ("reference", "smollm2"),
    ("sampling", "demo"), ("sampling", "smollm2"), ("training_step", "demo"), ("training_step", "smollm2"),
    ("ppo_step", "demo"), ("training_memory", "smollm2"), ("reward_fit", "demo"), ("reward_fit", "smollm2"),
    ("reranking", "demo"), ("reranking", "smollm2"), ("judges", "demo"), ("judges", "smollm2"),
    ("general_benchmarks", "demo"), ("general_benchmarks", "smollm2"), ("training_forward", "demo"), ("memory", "demo"),
    ("scale", "demo"), ("dag", "demo"), ("whole_run", "demo"),
)  # fmt: skip
ON_GPU = tuple(
    (stage, model)
    for model in ("smollm2", "1b", "8b")
    for stage in (
        "representations", "reference", "sampling", "training_step", "ppo_step", "training_memory", "training_forward",
        "reranking", "general_benchmarks",
    )
    # all weights of 8b in float32 with their optimiser take 128 GB, and PPO holds four such models
    if (stage, model) not in (("training_step", "8b"), ("ppo_step", "8b"))
)  # fmt: skip


WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""How threads wait for each other, as the workflow sets it for its jobs (benchmarks/waiting_threads.py)."""


def main() -> None:
    """Run them, say how long each took, and write the page; ends with an error where one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", default=[], help="names of scripts")
    given, start, failed = parser.parse_args(), perf_counter(), []
    for stage, model in ON_CPU if given.device == "cpu" else ON_GPU:
        if given.only and stage not in given.only:
            continue
        options = ["--model", model, "--device", given.device, *["--quick"] * given.quick]
        command, begun = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{stage}", *options], perf_counter()
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **WAITING})
        print(f"  {perf_counter() - begun:.0f} s, {perf_counter() - start:.0f} s in all", flush=True)
        if done.returncode:
            failed.append(f"{stage} on {model}")
            print(done.stderr[-2000:])
    if not (failed or given.only or given.quick or given.device != "cpu"):
        about = argparse.Namespace(model="all", device="cpu", quick=False, output=str(RESULTS / "lines"))
        noted(Record("whole_bench", about, described("cpu")), "bench", perf_counter() - start)
    subprocess.run([sys.executable, "-m", "benchmarks.page"], check=True)
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
