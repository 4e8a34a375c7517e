"""Would SLURM take a configuration's jobs? ``sbatch --test-only`` is asked as Snakemake asks, and submits nothing."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from trulysafe.plan.plan import Plan
from trulysafe.plan.resources import requests
from trulysafe.tools.cluster_check.profile import Finding, Profile, mend, note, ok, rule_names
from trulysafe.tools.cluster_check.slurm import Partition, longest, minutes

READING = "reward_states reward_on_policy pool_states policy_states reference read_rewards read_token_rewards"
RULES = {
    "forward": READING.split(),
    "generate": ["sample", "answer", "pool_likelihoods"],
    "train": ["train", "train_base", "fit_token_rewards"],
}
"""Rules that load a model, by kind of work."""
LABELLING = ["fit_labeller", "label_prompts", "annotated_pairs"]
"""Rules that generate where a labeller asks a local language model, and load none elsewhere."""
PLUGINS_OWN = re.compile(
    r"--(?:job-name|output|error|export|comment|workdir|account|partition|mem|mem-per-cpu|ntasks|ntasks-per-gpu|time|"
    r"qos|cpus-per-task|cpus-per-gpu|constraint|nodes|clusters|gres|gpus)(?=[=\s])|--parsable|-J|-[oeDApnctCN](?=\s)"
)
"""Options of sbatch that Snakemake's plugin sets itself and refuses in ``slurm_extra``."""


class Job(NamedTuple):
    """A kind of work, its model's size class, its processes on each of its nodes, and the rules that do it."""

    kind: str
    size: str
    nodes: int = 1
    processes: int = 1
    rules: tuple[str, ...] = ()

    def __str__(self) -> str:
        over = f", {self.nodes} nodes" if self.nodes > 1 else ""
        return f"{self.kind} {self.size}{over}" + (f", {self.processes} processes" if self.processes > 1 else "")


def jobs_of(plan: Plan) -> list[Job]:
    """Every kind of job with a model that a scenario may ask for: by size, policies' trainings by processes too."""
    config, size = plan.config, plan.models.size
    labelling = LABELLING if any(map(plan.label.model, config.labellers)) else []
    reading = {"forward": (*RULES["forward"],), "generate": (*RULES["generate"], *labelling)}
    jobs = {Job(kind, size(name), rules=rules) for kind, rules in reading.items() for name in config.models}
    fitted = {("train_base", name) for name, model in config.models.items() if model.source == "train"}
    fitted |= {("fit_token_rewards", item.model) for item in config.token_rewards.values() if item.kind == "token_rm"}
    jobs |= {Job("train", size(name), rules=(rule,)) for rule, name in fitted}
    for batch in plan.policies.trained:
        spread = plan.train.nodes(batch), plan.train.processes(batch)
        jobs.add(Job("train", size(plan.policies.model(batch)), *spread, ("train",)))
    return sorted(jobs)


def submissions(profile: Profile, jobs: Sequence[Job], there: Mapping[str, Partition]) -> Iterator[Finding]:
    """Whether SLURM would take each kind of job, at its first and at all later attempts."""
    asked, unasked = asked_for(profile, jobs)
    for name, at in asked.items():
        answers = ((attempt, refusal(profile, at(attempt), there)) for attempt in range(1, profile.attempts + 1))
        attempt, refused = next(((attempt, said) for attempt, said in answers if said), (profile.attempts, None))
        if refused:
            yield mend("jobs", f"{name}, attempt {attempt}: {refused}")
        else:
            yield ok("jobs", f"{name}: SLURM would take it, at attempt {attempt} too")
    if unasked:
        yield note("jobs", f"set-resources of {', '.join(unasked)}: not asked about, give CONFIG=config/mine.yaml")


def asked_for(profile: Profile, jobs: Sequence[Job]) -> tuple[dict[str, Callable[[int], dict[str, Any]]], list[str]]:
    """What each kind of job asks for at an attempt, by name; rules of ``set-resources`` whose jobs are not known."""

    def at(job: Job | None, rule: str) -> Callable[[int], dict[str, Any]]:
        return lambda attempt: resources(profile, job, rule, attempt)

    asked, with_model = {"no model": at(None, "")}, {rule for rules in RULES.values() for rule in rules}
    for job in jobs:
        with_model |= {*job.rules}
        for rule in job.rules:
            asked.setdefault(f"rule {rule} ({job})" if rule in profile.of_rules else str(job), at(job, rule))
    asked |= {f"rule {rule}": at(None, rule) for rule in profile.of_rules if rule in rule_names() - with_model}
    return asked, [rule for rule in profile.of_rules if rule in with_model and not jobs]


def resources(profile: Profile, job: Job | None, rule: str, attempt: int) -> dict[str, Any]:
    """Resources of a job at an attempt: the rule's own before the defaults, ``set-resources`` before both."""
    values = profile.evaluated(profile.defaults, attempt)
    if job:
        own = requests(job.kind, lambda _: job.size, profile.site, lambda _: job.processes, lambda _: job.nodes)
        values |= {key: of(None, *[attempt][: key in ("mem_mb", "runtime")]) for key, of in own.items()}
    values |= profile.evaluated(profile.of_rules.get(rule, {}), attempt)
    return {key: value for key, value in values.items() if value is not None}


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
    """The partition of a job, empty where SLURM chooses, and what the plugin gives to sbatch beside names and logs.

    Raises:
        ValueError: the plugin would not submit the job, or a quotation mark in ``slurm_extra`` is left open.
    """
    of, settings, extra = values.get, profile.settings, str(values.get("slurm_extra") or "")
    if taken := PLUGINS_OWN.search(extra):
        raise ValueError(f"The {taken[0]} option is not allowed in slurm_extra; give the resource that stands for it")
    forms = {"GRES": ("gres", r"\w+(:[\w.]+)?(:\d+[TGM]?)?"), "GPU model": ("gpu_model", r"[\w.]+")}
    for name, (key, form) in forms.items():
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
