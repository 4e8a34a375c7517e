"""From work to hours, on a GPU type: one line per rule, and the wall time at a number of GPUs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.tools.cost.assumptions import Assumptions
from trulysafe.tools.cost.jobs import FINAL
from trulysafe.tools.cost.work import Job
from trulysafe.trainers.step_cost import FORWARD

STAGES = (
    ("prefetch_model", "prefetch_dataset"), ("normalise",), ("split",), ("train_base", "fit_labeller", "fit_judge"),
    ("label_prompts", "reward_states"), ("sample", "fit_reward", "analyse_layers"), ("pool_states",),
    ("rerank", "annotated_pairs"), ("leakage", "reference", "read_rewards"), ("mix",),
    ("fit_token_rewards",), ("read_token_rewards",), ("train",),
    ("policy_states", "reward_on_policy", "pool_likelihoods"), ("order_and_distribution",), ("answer",), ("judge",),
    *((rule,) for rule in FINAL),
)  # fmt: skip
"""Rules that can run side by side, in the order in which a run comes to them; later rounds are taken together with the first."""
GPUS = Path("resources") / "gpus.csv"


@dataclass(frozen=True)
class Gpu:
    """A GPU type: bytes of memory, peak FLOP/s, bytes per second."""

    name: str
    memory: float
    flops: float
    bandwidth: float

    @property
    def one(self) -> bool:
        """Whether it is this machine, one for all processes, and no GPU."""
        return self.name == "cpu"


def gpu_type(name: str, table: Path = GPUS) -> Gpu:
    """Look a GPU type up.

    Raises:
        UserError: the table has no such type.
    """
    rows = pd.read_csv(table, comment="#").set_index("gpu")
    if name not in rows.index:
        raise not_accepted("GPU", name, rows.index, do=f"Add a line to {table}.")
    memory, flops, bandwidth = (
        float(rows[key].to_dict()[name]) for key in ("memory_gb", "bf16_tflops", "bandwidth_gb_s")
    )
    return Gpu(name, memory * 1e9, flops * 1e12, bandwidth * 1e9)


def gpus_of(job: Job, gpu: Gpu) -> int:
    """GPUs that a job asks for: one for each process, 0 without a model. Whether they hold it says :mod:`trulysafe.tools.cost.fit`."""
    if job.model is None:
        return 0
    return 1 if gpu.one else job.processes


def seconds_of(job: Job, gpu: Gpu, assumptions: Assumptions) -> float:
    """Seconds of a job on the GPUs that it asks for, the work taken to divide evenly among them."""
    if job.model is None:
        return assumptions.cpu_job_seconds
    weights, count = job.model.parameters, gpus_of(job, gpu)
    forward = FORWARD * weights / (gpu.flops * assumptions.forward_utilisation)
    training = job.flops_per_token * weights / (gpu.flops * assumptions.training_utilisation)
    step = (
        job.model.layers * assumptions.layer_seconds
        + job.model.bytes / (gpu.bandwidth * assumptions.bandwidth_share)
        + job.sequences * forward
    )
    load = job.loads * job.model.bytes / assumptions.load_bytes_per_second
    work = job.forward_tokens * forward + job.trained_tokens * training + job.steps * step
    return assumptions.start_seconds + load + work / count


def priced(jobs: Iterable[Job], gpu: Gpu, assumptions: Assumptions) -> pd.DataFrame:
    """One row per rule.

    Returns:
        Columns rule, jobs, gpus (per job), hours_per_job (mean), longest_hours, gpu_hours, cpu_hours, disk_gb; in the order of a run.
    """
    rows = [
        {
            "rule": job.rule,
            "gpus": gpus_of(job, gpu),
            "hours": seconds_of(job, gpu, assumptions) / 3600,
            "disk_gb": job.disk / 1e9,
        }
        for job in jobs
    ]
    table = pd.DataFrame(rows)
    table["gpu_hours"] = table["hours"] * table["gpus"]
    table["cpu_hours"] = table["hours"].where(table["gpus"] == 0, 0.0)
    grouped = table.groupby("rule").agg(
        jobs=("hours", "count"), gpus=("gpus", "max"), hours_per_job=("hours", "mean"), longest_hours=("hours", "max"),
        gpu_hours=("gpu_hours", "sum"), cpu_hours=("cpu_hours", "sum"), disk_gb=("disk_gb", "sum"),
    )  # fmt: skip
    order = [rule for stage in STAGES for rule in stage if rule in grouped.index]
    return grouped.loc[order].reset_index()


def check_gpus(gpus: int, table: pd.DataFrame) -> None:
    """Refuse a number of GPUs at the same time on which a job could never start.

    Args:
        gpus: the number.
        table: from :func:`priced`.

    Raises:
        UserError: it is less than 1, or less than a job asks for.
    """
    if gpus < 1:
        raise UserError(f"GPUS: {gpus} is not accepted. Accepted: whole numbers from 1, the GPUs at the same time.")
    largest = max(table.to_dict("records"), key=lambda row: row["gpus"])
    if gpus < largest["gpus"]:
        raise UserError(
            f"GPUS: {gpus} is not accepted, as a job of {largest['rule']} asks for {largest['gpus']} at once. Accepted: whole numbers from {largest['gpus']}. "
            f"Give GPUS={largest['gpus']}, or lower training.processes."
        )


def wall_hours(table: pd.DataFrame, gpus: int) -> float:
    """Hours from start to end with a number of GPUs, without waiting in a queue.

    Stage after stage; a stage takes its GPU-hours divided by the GPUs that its jobs can fill, but no less than its longest job, and CPU jobs all
    run side by side.
    """
    rows = {row["rule"]: row for row in table.to_dict("records")}
    return sum(_stage_hours([rows[rule] for rule in stage if rule in rows], gpus) for stage in STAGES)


def _stage_hours(rows: Sequence[dict], gpus: int) -> float:
    longest = max((row["longest_hours"] for row in rows), default=0.0)
    return max(longest, sum(row["gpu_hours"] / _filled(gpus, row["gpus"]) for row in rows))


def _filled(gpus: int, of_job: int) -> int:
    """GPUs that jobs of a number of GPUs each can fill at the same time: 4 of 7 with 4 or 2 each, 7 with one."""
    return gpus // of_job * of_job if of_job else gpus
