"""Would SLURM take a configuration's jobs? ``sbatch --test-only`` is asked as Snakemake asks, and submits nothing."""

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from trulysafe.tools.cluster_check.profile import ASKED, Finding, Profile, mend, note, ok
from trulysafe.tools.cluster_check.slurm import Partition, longest, minutes
from trulysafe.tools.cost.dag import dag_jobs

PLUGINS_OWN = re.compile(
    r"--(?:job-name|output|error|export|comment|workdir|account|partition|mem|mem-per-cpu|ntasks|ntasks-per-gpu|time|"
    r"qos|cpus-per-task|cpus-per-gpu|constraint|nodes|clusters|gres|gpus)(?=[=\s])|--parsable|-J|-[oeDApnctCN](?=\s)"
)
"""Options of sbatch that Snakemake's plugin sets itself and refuses in ``slurm_extra``."""


def submissions(profile: Profile, raw: Mapping[str, Any], there: Mapping[str, Partition]) -> Iterator[Finding]:
    """Whether SLURM would take each job of a configuration as written, at its first and at all later attempts."""
    asked = asked_for(profile, raw)
    for name, _, attempts in asked:
        answers = ((attempt, refusal(profile, values, there)) for attempt, values in enumerate(attempts, 1))
        attempt, refused = next(((attempt, said) for attempt, said in answers if said), (len(attempts), None))
        taken = ok("jobs", f"{name}: SLURM would take it, at attempt {attempt} too")
        yield mend("jobs", f"{name}, attempt {attempt}: {refused}") if refused else taken
    if unasked := profile.of_rules.keys() - {rule for _, rules, _ in asked for rule in rules}:
        listed = ", ".join(sorted(unasked))
        yield note("jobs", f"set-resources of {listed}: not asked about, give CONFIG=config/mine.yaml")


def asked_for(profile: Profile, raw: Mapping[str, Any]) -> list[tuple[str, set[str], list[dict[str, Any]]]]:
    """Jobs that ask for the same: a name for them, their rules, and the resources that they ask for at each attempt."""
    alike: dict[str, tuple[set[str], list[dict[str, Any]]]] = {}
    for job, _, _ in dag_jobs(raw, profile.defaults, profile.of_rules):
        attempts = []
        for job.attempt in range(1, profile.attempts + 1):
            values = {key: job.resources.get(key) for key in sorted(ASKED)}
            attempts.append({key: value for key, value in values.items() if value not in (None, "<TBD>")})
        alike.setdefault(repr(attempts), (set(), attempts))[0].add(job.rule.name)
    return [(_name(rules, attempts[0], profile), rules, attempts) for rules, attempts in alike.values()]


def _name(rules: set[str], values: Mapping[str, Any], profile: Profile) -> str:
    """``no model``, or the rules with what their jobs ask for."""
    if "cpus_per_task" not in values and not rules <= profile.of_rules.keys():
        return "no model"
    gpus = int(values.get("gpu") or str(values.get("gres", "")).rpartition(":")[2] or 0)
    counts = {"node": values.get("nodes"), "core": values.get("cpus_per_task"), "GPU": gpus}
    asks = [f"{count} {unit}{'s' * (count > 1)}" for unit, count in counts.items() if count]
    asks.append(f"{int(values.get('mem_mb') or 0) / 1000:g} GB")
    return f"{', '.join(sorted(rules))} ({', '.join(asks)})"


def refusal(profile: Profile, values: Mapping[str, Any], there: Mapping[str, Partition]) -> str | None:
    """Why a job with these resources would not run where these partitions are; None if SLURM would take it."""
    try:
        partition, asked = flags(profile, values)
    except (ValueError, TypeError) as error:
        return f"Snakemake would not submit it: {error}"
    limit, runtime = longest(partition, there), values.get("runtime")
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
    """The partition of a job, empty where SLURM chooses, and what the plugin gives to sbatch beside names and logs;
    ValueError where it would not submit the job, or a quotation mark in ``slurm_extra`` is left open."""
    of, settings, extra = values.get, profile.settings, str(values.get("slurm_extra") or "")
    if taken := PLUGINS_OWN.search(extra):
        raise ValueError(f"The {taken[0]} option is not allowed in slurm_extra; give the resource that stands for it")
    for name, key, form in (("GRES", "gres", r"\w+(:[\w.]+)?(:\d+[TGM]?)?"), ("GPU model", "gpu_model", r"[\w.]+")):
        if of(key) and not re.fullmatch(form, str(of(key)), re.ASCII):
            raise ValueError(f"Invalid {name} format: {of(key)}. Accepted: {form}")
    for key in ("nodes", "tasks", "tasks_per_node", "tasks_per_gpu", "cpus_per_task", "cpus_per_gpu"):
        if not isinstance(of(key, 1), int):
            raise ValueError(f"{key}: {of(key)!r} is no whole number")
    mpi, tasks, each, gpus = of("mpi"), of("tasks"), of("tasks_per_node"), of("gpu") or "gpu" in str(of("gres", ""))
    if mpi and ((tasks and each) or (tasks or each or 0) < 2):
        raise ValueError("a job with mpi needs either tasks or tasks_per_node, above 1")
    partition = str(of("slurm_partition") or _by_limits(profile, values))
    cpus, gpu_cpus = of("cpus_per_task"), (gpus and of("cpus_per_gpu")) or 0
    asked = {
        "-A ": str(of("slurm_account") or "").replace(",", " ").partition(" ")[0],
        "-p ": partition,
        "--clusters ": of("cluster") or of("clusters") or of("slurm_cluster"),
        "-t ": of("runtime"),
        "-C ": of("constraint"),
        "--qos=": settings.get("slurm-qos") or of("qos"),
        "--mem-per-cpu ": of("mem_mb_per_cpu"),
        "--mem ": not of("mem_mb_per_cpu") and of("mem_mb"),
        "--nodes=": of("nodes"),
        "--reservation=": settings.get("slurm-reservation"),
        "--ntasks-per-gpu=": gpus and of("tasks_per_gpu", tasks),
        "--ntasks-per-node=": mpi and each,
        "--ntasks=": tasks if mpi else not gpus and (tasks or 1),
        "--cpus-per-gpu=": not cpus and max(gpu_cpus, 0),
        "--cpus-per-task=": max(cpus, 0) if cpus else int(not gpu_cpus),
        "--gres=": of("gres"),
        "--gpus=": f"{of('gpu_model')}:{of('gpu', 1)}" if of("gpu_model") else of("gpu"),
    }
    words = [f"{option}{shlex.quote(str(value))}" for option, value in asked.items() if value]
    words += [f"--{word}" for word in ("requeue", "no-requeue") if settings.get(f"slurm-{word}")]
    return partition, shlex.split(" ".join([*words, extra]))


def _by_limits(profile: Profile, values: Mapping[str, Any]) -> str:
    """The partition of ``slurm-partition-config`` whose limits the job fills most, as the plugin chooses."""
    if not (named := profile.settings.get("slurm-partition-config")):
        return ""
    file = beside if (beside := profile.file.parent / str(named)).exists() else Path(named)
    generic = re.fullmatch(r"gpu(?::.*)?:(\d+)", str(values.get("gres", "")))
    gpus, cpus = values.get("gpu") or (int(generic[1]) if generic else 0), values.get("cpus_per_task", 1)
    asked, scores = {**values, "gpu": gpus, "cpus_per_task": cpus, "threads": cpus}, {}
    try:
        for name, limits in yaml.safe_load(file.read_text(encoding="utf-8"))["partitions"].items():
            most = {key.removeprefix("max_"): limit for key, limit in limits.items() if key.startswith("max_")}
            most["runtime"] = minutes(str(most.get("runtime", "none")))
            shares = [asked[key] / limit for key, limit in most.items() if limit and asked.get(key)]
            if max(shares, default=0) <= 1 and (most.get("gpu") or not gpus):
                scores[name] = sum(shares) - bool(most.get("gpu") and not gpus)
    except (OSError, yaml.YAMLError, LookupError, AttributeError) as error:
        raise ValueError(f"slurm-partition-config: {file} cannot be read: {error}") from None
    return max(scores, key=scores.__getitem__, default="")
