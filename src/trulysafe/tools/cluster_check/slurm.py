"""What SLURM says of itself against the profile: partitions and their GPUs, job states, preemption. And would it take
a configuration's jobs? ``sbatch --test-only`` is asked as Snakemake asks, and submits nothing."""

import logging
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from snakemake_interface_common.exceptions import WorkflowError

from trulysafe.plan.profile import FIRST_QUESTION, Profile
from trulysafe.plan.resources import Site
from trulysafe.tools.cluster_check.findings import ASKED, Finding, mend, note, ok
from trulysafe.tools.cost.dag import dag_jobs


class Partition(NamedTuple):
    """A partition: ``memory`` in GB, GPUs as ``sinfo`` names them (``gpu:a100:4``)."""

    state: str
    limit: str
    memory: int
    gpus: tuple[str, ...]
    features: frozenset[str]
    default: bool = False


class Asked(NamedTuple):
    """Jobs that ask for the same: a name for them, their rules, and what they ask for at each attempt."""

    name: str
    rules: set[str]
    attempts: list[dict[str, Any]]


def slurm(profile: Profile, raw: Mapping[str, Any]) -> Iterator[Finding]:
    """What SLURM says; where it does not answer nothing that it would have to say is judged."""
    if not (version := command("sinfo", "--version").strip()):
        yield mend("SLURM", "sinfo was not found or does not answer: run this on a login node (or `module load slurm`)")
    elif not (known := read_partitions()):
        unknown = "its controller does not answer: partitions, limits and jobs are not checked"
        yield mend("SLURM", f"{version}, but {unknown}. When `scontrol ping` says UP, run this again")
    else:
        yield from (ok("SLURM", version), *partitions(profile, known), job_states(profile))
        yield from (*preemption(profile, known), *submissions(profile, asked_for(profile, raw), known))


def run(*words: str, seconds: float = 30) -> subprocess.CompletedProcess[str] | None:
    """A command that has ended; None if it is not there or hangs."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


def command(*words: str) -> str:
    """What a command printed; nothing if it is not there, hangs or fails."""
    done = run(*words)
    return done.stdout if done and done.returncode == 0 else ""


def read_partitions() -> dict[str, Partition]:
    """The partitions that SLURM has, by name; none if its controller does not answer."""
    known: dict[str, Partition] = {}
    for line in command("sinfo", "--noheader", "--format=%P|%a|%l|%m|%G|%f").splitlines():  # one for each kind of node
        shown, state, limit, memory, generic, features = line.split("|")
        name, before = shown.rstrip("*"), known.get(shown.rstrip("*"), Partition(state, limit, 0, (), frozenset()))
        gpus = {item for item in re.sub(r"\([^)]*\)", "", generic).split(",") if item.partition(":")[0] == "gpu"}
        known[name] = before._replace(
            memory=max(before.memory, int(re.sub(r"\D", "", memory)) // 1000),
            gpus=tuple(sorted(gpus.union(before.gpus))),
            features=before.features.union(features.split(",")),
            default=shown.endswith("*"),
        )
    return known


def named(given: str, known: Mapping[str, Partition]) -> list[str]:
    """The partitions that a value of ``slurm_partition`` stands for: a list, SLURM's default if it is empty."""
    return given.split(",") if given else [name for name, partition in known.items() if partition.default]


def longest(given: str, known: Mapping[str, Partition]) -> float:
    """Minutes that a job may take in one of the partitions that a value stands for."""
    return max((minutes(known[name].limit) for name in named(given, known) if name in known), default=float("inf"))


def minutes(limit: str) -> float:
    """Minutes of a time limit as SLURM writes it: ``1-12:00:00``, ``30:00``, ``90``, ``infinite``."""
    if not re.fullmatch(r"[\d:-]+", limit):
        return float("inf")
    days, _, clock = limit.rpartition("-")
    first, second, *_ = [*map(int, clock.split(":")), 0]
    return int(days or 0) * 1440 + (first * 60 + second if days or clock.count(":") == 2 else first)


def partitions(profile: Profile, known: Mapping[str, Partition]) -> Iterator[Finding]:
    """The profile's partitions against those that SLURM has: state, time limit, memory, GPUs."""
    every, up = ", ".join(known), ", ".join(name for name, partition in known.items() if partition.state == "up")
    for key in ("slurm_partition", "gpu_partition"):
        given = getattr(profile.site, key)
        if not given and profile.settings.get("slurm-partition-config"):
            yield ok("partition", f"{key}: none, slurm-partition-config chooses by limits")
            continue
        names = named(given, known)
        if not names:
            yield mend("partition", f"{key} is missing. Set it to one of: {every}")
        for name in names:
            shown, found = f"{key}: {name if given else f'none, SLURM takes {name}'}", known.get(name)
            if found is None:
                yield mend("partition", f"{shown} is not here. Set it to one of: {every}")
            elif found.state != "up":
                idle = f"{shown} is {found.state}, SLURM starts no job there"
                yield mend("partition", f"{idle}. Wait until it is up, or set it to one of: {up}")
            else:
                nodes = f"nodes up to {found.memory} GB, {', '.join(found.gpus) or 'no GPUs'}"
                yield ok("partition", f"{shown} (up), limit {found.limit}, {nodes}")
        if key == "gpu_partition" and (own := {name: known[name] for name in names if name in known}):
            yield from _gpu_partition(profile.site, own)


def _gpu_partition(site: Site, own: Mapping[str, Partition]) -> Iterator[Finding]:
    """Limits and GPUs of the site block against what the partitions with GPUs have."""
    name, limit, memory = ",".join(own), longest(",".join(own), own), max(each.memory for each in own.values())
    gpus = {gpu for partition in own.values() for gpu in partition.gpus}
    types = sorted({gpu.split(":")[1] for gpu in gpus if gpu.count(":") == 2})
    features = {feature for partition in own.values() for feature in partition.features} - {"(null)"}
    listed = ", ".join(sorted(features)) or "none"
    if (asked := site.longest_minutes) > limit:
        yield mend("time limit", f"longest_minutes: {asked} is above the limit of {name}. Set it to {limit:.0f}")
    if not gpus:
        yield mend("GPUs", f"{name} has none; set gpu_partition to a partition whose `sinfo -o '%R %G'` shows gpu")
    elif site.gpu_type not in ("", "none", *types):
        accepted = ", ".join(kind for kind in types if re.fullmatch(r"[\w.]+", kind))
        others = f" or one of: {accepted}" if accepted else ""
        yield mend("GPUs", f"gpu_type: {site.gpu_type} is not in {name}. Set it to none{others}")
    elif not re.fullmatch(r"[\w.]*", site.gpu_type):
        taken = f"{site.gpu_type} is here, but Snakemake's plugin takes letters, digits, _ and . alone"
        yield mend("GPUs", f"gpu_type: {taken}. Set it to none, and gpu_constraint to a feature, of {listed}")
    if site.gpu_constraint != "none" and not set(re.findall(r"[\w.-]+", site.gpu_constraint)) <= features:
        yield mend("GPUs", f"gpu_constraint: {site.gpu_constraint} is no feature of {name}; it has: {listed}")
    if memory < site.most_memory_gb:
        yield note("memory", f"most_memory_gb: {site.most_memory_gb}, but {name} has less. Set it to {memory}")


def job_states(profile: Profile) -> Finding:
    """Whether squeue remembers finished jobs for long enough."""
    if profile.settings.get("slurm-status-command") != "squeue":
        return mend("job states", "slurm-status-command must be squeue: sacct waits for ever for a cancelled job")
    shown = re.search(r"MinJobAge\s*=\s*(\d+)", command("scontrol", "show", "config"))
    if shown is None:
        return note("job states", "`scontrol show config` says no MinJobAge: how long squeue remembers is not known")
    if (age := int(shown[1])) < 3 * int(profile.settings.get(FIRST_QUESTION) or 40):
        return mend("job states", f"squeue forgets jobs after {age} s: set {FIRST_QUESTION} to {max(age // 3, 1)}")
    return ok("job states", f"squeue remembers finished jobs for {age} s")


def preemption(profile: Profile, known: Mapping[str, Partition]) -> Iterator[Finding]:
    """Whether jobs may be preempted, and the profile is made for that: Snakemake leaves a preempted job to SLURM."""
    if "preempt/none" in (command("scontrol", "show", "config") or "preempt/none"):
        return
    remedies = {"REQUEUE": "set slurm-requeue: true (docs/cluster.md)", "CANCEL": "then Ctrl-C, and the same command"}
    given = (profile.site.slurm_partition, profile.site.gpu_partition)
    shown = command("scontrol", "--oneliner", "show", "partition")
    modes = dict(re.findall(r"PartitionName=(\S+).*?PreemptMode=(\w+)", shown))
    for name in dict.fromkeys(name for value in given for name in named(value, known)):
        mode = modes.get(name)
        if mode == "REQUEUE" and profile.settings.get("slurm-requeue"):
            yield ok("preemption", f"preempted jobs of {name} are requeued")
        elif mode in remedies:
            waits = f"{name} preempts jobs, for which Snakemake would wait for ever"
            yield note("preemption", f"{waits}: {remedies[mode]}")


def submissions(profile: Profile, jobs: list[Asked], known: Mapping[str, Partition]) -> Iterator[Finding]:
    """Whether SLURM would take each job of a configuration as written, at its first and at all later attempts."""
    for name, _, attempts in jobs:
        answers = ((attempt, refusal(profile, values, known)) for attempt, values in enumerate(attempts, 1))
        attempt, refused = next(((attempt, said) for attempt, said in answers if said), (len(attempts), None))
        taken = ok("jobs", f"{name}: SLURM would take it, at attempt {attempt} too")
        yield mend("jobs", f"{name}, attempt {attempt}: {refused}") if refused else taken
    if unasked := ", ".join(sorted(profile.of_rules.keys() - {rule for job in jobs for rule in job.rules})):
        yield note("jobs", f"set-resources of {unasked}: not asked about, give CONFIG=config/mine.yaml")


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
    done = run("sbatch", "--test-only", *asked, "--wrap=true", seconds=60)
    if done is None:
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
    if not partition and (limits := profile.settings.get("slurm-partition-config")):
        partition = get_best_partition(read_partition_file(Path(limits)), job, logging.getLogger(__name__))
    account = str(values.get("slurm_account") or "").replace(",", " ").split()
    of_job = {"run_uuid": "check", "slurm_logfile": "check", "comment_str": "check", "workdir": None}
    of_job["account"] = f"-A {shlex.quote(account[0])}" if account else ""
    of_job["partition"] = f"-p {shlex.quote(str(partition))}" if partition else ""
    own = ("requeue", "no_requeue", "qos", "reservation")
    settings = SimpleNamespace(**{key: profile.settings.get(f"slurm-{key.replace('_', '-')}") for key in own})
    words = shlex.split(get_submit_command(job, of_job, settings=settings) + set_gres_string(job))
    return str(partition or ""), words[words.index("--comment") + 2 :]
