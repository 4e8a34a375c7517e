"""Would SLURM take a job, asked as Snakemake's plugin would? ``sbatch --test-only`` submits nothing."""

from __future__ import annotations

import logging
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.iocontainers import ResourceList

from trulysafe.tools.cluster_check.partitions import Partition, longest
from trulysafe.tools.cluster_check.profile import Profile

NAMED = {"run_uuid": "check", "slurm_logfile": "/dev/null", "comment_str": "check", "workdir": None}


def refusal(profile: Profile, values: Mapping[str, Any], there: Mapping[str, Partition]) -> str | None:
    """Why a job would not run; None if SLURM would take it. Nothing is submitted.

    Args:
        profile: the profile.
        values: resources of the job, evaluated.
        there: the partitions that SLURM has.
    """
    try:
        partition, asked = flags(profile, values)
    except (WorkflowError, ValueError, TypeError) as error:
        return f"Snakemake would not submit it: {' '.join(str(error).split()).partition('. ')[0]}"
    limit, runtime = longest(partition, there), values.get("runtime")
    if isinstance(runtime, int) and runtime > limit:
        where = partition or "SLURM's default partition"
        return (
            f"asks for {runtime} minutes, {where} gives {limit:.0f}: it would wait for ever. Choose a partition with a longer limit, or "
            "a lower runtime in default-resources, or for the rule in set-resources"
        )
    command = ["sbatch", "--test-only", *asked, "--wrap=true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "sbatch is not there, or did not answer within a minute"
    said = [line for line in done.stderr.strip().splitlines() if not line.startswith("Try ")] or ["no reason given"]
    return f"{said[-1].rpartition(': ')[2]} ({shlex.join(asked)})" if done.returncode else None


def flags(profile: Profile, values: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The partition of a job, empty where SLURM chooses, and what the plugin would give to sbatch beside names and log files.

    Raises:
        WorkflowError: the plugin would not submit the job.
        ValueError: a quotation mark in ``slurm_extra`` is left open.
    """
    # here, as the plugin asks the controller while it is imported, which takes long where that is down
    from snakemake_executor_plugin_slurm.submit_string import get_submit_command
    from snakemake_executor_plugin_slurm.utils import set_gres_string
    from snakemake_executor_plugin_slurm.validation import validate_slurm_extra

    settings = profile.settings
    job = SimpleNamespace(resources=ResourceList(fromdict=dict(values)), threads=1, name="check")
    validate_slurm_extra(job)
    account = str(values.get("slurm_account") or "").replace(",", " ").split()
    partition = str(values.get("slurm_partition") or _best_partition(profile, job) or "")
    given = {
        "account": shlex.join(["-A", account[0]]) if account else "",
        "partition": shlex.join(["-p", partition]) if partition else "",
    }
    executor = SimpleNamespace(
        requeue=bool(settings.get("slurm-requeue")),
        no_requeue=bool(settings.get("slurm-no-requeue")),
        qos=settings.get("slurm-qos"),
        reservation=settings.get("slurm-reservation"),
    )
    words = shlex.split(get_submit_command(job, {**NAMED, **given}, settings=executor) + set_gres_string(job))
    return partition, words[words.index("--comment") + 2 :]


def _best_partition(profile: Profile, job: SimpleNamespace) -> str | None:
    """The partition that the plugin chooses by limits, where the profile names the file that has them."""
    named = profile.settings.get("slurm-partition-config")
    if not named:
        return None
    from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file

    beside = profile.file.parent / str(named)
    return get_best_partition(read_partition_file(beside if beside.exists() else Path(named)), job, _silent())


def _silent() -> logging.Logger:
    logger = logging.getLogger(f"{__name__}.plugin")
    logger.setLevel(logging.CRITICAL)
    return logger
