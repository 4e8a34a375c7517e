"""Would SLURM take a configuration's jobs? ``sbatch --test-only`` is asked as Snakemake asks, and submits nothing."""

import logging
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from snakemake_interface_common.exceptions import WorkflowError

from trulysafe.tools.cluster_check.profile import ASKED, Finding, Profile, mend, note, ok
from trulysafe.tools.cluster_check.slurm import Partition, longest
from trulysafe.tools.cost.dag import dag_jobs


class Asked(NamedTuple):
    """Jobs that ask for the same: a name for them, their rules, and what they ask for at each attempt."""

    name: str
    rules: set[str]
    attempts: list[dict[str, Any]]


def submissions(profile: Profile, jobs: list[Asked], known: Mapping[str, Partition]) -> Iterator[Finding]:
    """Whether SLURM would take each job of a configuration as written, at its first and at all later attempts."""
    for name, _, attempts in jobs:
        answers = ((attempt, refusal(profile, values, known)) for attempt, values in enumerate(attempts, 1))
        attempt, refused = next(((attempt, said) for attempt, said in answers if said), (len(attempts), None))
        taken = ok("jobs", f"{name}: SLURM would take it, at attempt {attempt} too")
        yield mend("jobs", f"{name}, attempt {attempt}: {refused}") if refused else taken
    if unasked := profile.of_rules.keys() - {rule for job in jobs for rule in job.rules}:
        listed = ", ".join(sorted(unasked))
        yield note("jobs", f"set-resources of {listed}: not asked about, give CONFIG=config/mine.yaml")


def asked_for(profile: Profile, raw: Mapping[str, Any]) -> list[Asked]:
    """What the jobs of a configuration ask for."""
    alike: dict[str, tuple[set[str], list[dict[str, Any]]]] = {}
    for job, _, _ in dag_jobs(raw, profile.defaults, profile.of_rules):
        attempts = []
        for job.attempt in range(1, profile.attempts + 1):
            values = {key: job.resources.get(key) for key in sorted(ASKED)}
            attempts.append({key: value for key, value in values.items() if value not in (None, "<TBD>")})
        alike.setdefault(repr(attempts), (set(), attempts))[0].add(job.rule.name)
    return [Asked(_name(rules, attempts[0], profile), rules, attempts) for rules, attempts in alike.values()]


def _name(rules: set[str], values: Mapping[str, Any], profile: Profile) -> str:
    """``no model``, or the rules with what their jobs ask for."""
    if "cpus_per_task" not in values and not rules <= profile.of_rules.keys():
        return "no model"
    gpus = int(values.get("gpu") or str(values.get("gres", "")).rpartition(":")[2] or 0)
    counts = {"node": values.get("nodes"), "core": values.get("cpus_per_task"), "GPU": gpus}
    asks = [f"{count} {unit}{'s' * (count > 1)}" for unit, count in counts.items() if count]
    asks.append(f"{int(values.get('mem_mb') or 0) / 1000:g} GB")
    return f"{', '.join(sorted(rules))} ({', '.join(asks)})"


def refusal(profile: Profile, values: Mapping[str, Any], known: Mapping[str, Partition]) -> str | None:
    """Why a job with these resources would not run where these partitions are known; None if SLURM would take it."""
    try:
        partition, asked = flags(profile, values)
    except (WorkflowError, ValueError, TypeError, LookupError) as error:
        return f"Snakemake would not submit it: {error}"
    limit, runtime = longest(partition, known), values.get("runtime")
    if isinstance(runtime, int) and runtime > limit:
        gives = f"{partition or 'the default partition'} gives {limit:.0f}"
        remedy = "Choose a partition with a longer limit, or a lower runtime in default-resources or set-resources"
        return f"asks for {runtime} minutes, {gives}: it would wait for ever. {remedy}"
    command = ["sbatch", "--test-only", *asked, "--wrap=true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "sbatch is not there, or did not answer within a minute"
    said = [line for line in done.stderr.strip().splitlines() if not line.startswith("Try ")] or ["no reason given"]
    return f"{said[-1].rpartition(': ')[2]} ({shlex.join(asked)})" if done.returncode else None


def flags(profile: Profile, values: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The partition of a job, empty where SLURM chooses, and what Snakemake's plugin gives to sbatch beside names and
    logs; an error of the plugin's or of ``shlex`` where it would not submit the job."""
    from snakemake.iocontainers import ResourceList
    from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file
    from snakemake_executor_plugin_slurm.submit_string import get_submit_command
    from snakemake_executor_plugin_slurm.utils import set_gres_string
    from snakemake_executor_plugin_slurm.validation import validate_slurm_extra

    job = SimpleNamespace(resources=ResourceList(fromdict=dict(values)), threads=1, name="check")
    validate_slurm_extra(job)
    partition = values.get("slurm_partition")
    if not partition and (named := profile.settings.get("slurm-partition-config")):
        file = beside if (beside := profile.file.parent / str(named)).exists() else Path(named)
        partition = get_best_partition(read_partition_file(file), job, logging.getLogger(__name__))
    account = str(values.get("slurm_account") or "").replace(",", " ").split()
    of_job = {"run_uuid": "check", "slurm_logfile": "check", "comment_str": "check", "workdir": None}
    of_job["account"] = f"-A {shlex.quote(account[0])}" if account else ""
    of_job["partition"] = f"-p {shlex.quote(str(partition))}" if partition else ""
    own = {key: profile.settings.get(f"slurm-{key}") for key in ("requeue", "no-requeue", "qos", "reservation")}
    settings = SimpleNamespace(**{key.replace("-", "_"): value for key, value in own.items()})
    words = shlex.split(get_submit_command(job, of_job, settings=settings) + set_gres_string(job))
    return str(partition or ""), words[words.index("--comment") + 2 :]
