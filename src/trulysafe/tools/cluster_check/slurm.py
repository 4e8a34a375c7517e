"""What SLURM says of itself against the profile: partitions and their GPUs, job states, preemption."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from trulysafe.plan.resources import Site
from trulysafe.tools.cluster_check.profile import FIRST_QUESTION, Finding, Profile, mend, note, ok


class Partition(NamedTuple):
    """A partition: ``memory`` in GB, GPUs as ``sinfo`` names them (``gpu:a100:4``)."""

    state: str
    limit: str
    memory: int
    gpus: tuple[str, ...]
    features: frozenset[str]
    default: bool = False


def command(*words: str, seconds: float = 30, or_fails: bool = False) -> str | None:
    """What a command printed; None if it is not there or hangs, or fails unless that is as good an answer."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if or_fails or done.returncode == 0 else None


def read_partitions() -> dict[str, Partition] | None:
    """The partitions that SLURM has, by name; None if its controller does not answer."""
    ping = command("scontrol", "ping", seconds=10, or_fails=True) or ""
    down = "DOWN" in ping and "UP" not in ping  # sinfo would ask for half a minute
    listed = None if down else command("sinfo", "--noheader", "--format=%P|%a|%l|%m|%G|%f", seconds=20)
    known: dict[str, Partition] = {}
    for line in (listed or "").splitlines():  # one for each kind of node
        shown, state, limit, memory, generic, features = line.split("|")
        name, before = shown.rstrip("*"), known.get(shown.rstrip("*"), Partition(state, limit, 0, (), frozenset()))
        gpus = {item for item in re.sub(r"\([^)]*\)", "", generic).split(",") if item.partition(":")[0] == "gpu"}
        known[name] = before._replace(
            memory=max(before.memory, int(re.sub(r"\D", "", memory)) // 1000),
            gpus=tuple(sorted(gpus.union(before.gpus))),
            features=before.features.union(features.split(",")),
            default=shown.endswith("*"),
        )
    return None if listed is None else known


def named(given: str, known: Mapping[str, Partition]) -> list[str]:
    """The partitions that a value of ``slurm_partition`` stands for: a list, SLURM's default if it is empty."""
    return given.split(",") if given else [name for name, partition in known.items() if partition.default]


def longest(given: str, known: Mapping[str, Partition]) -> float:
    """Minutes that a job may take in one of the partitions that a value stands for."""
    return max((minutes(known[name].limit) for name in named(given, known) if name in known), default=float("inf"))


def minutes(limit: str) -> float:
    """Minutes of a time limit as SLURM writes it: ``1-12:00:00``, ``30:00``, ``90``, ``infinite``."""
    if limit.isdecimal() or not re.fullmatch(r"[\d:-]+", limit):
        return float(limit) if limit.isdecimal() else float("inf")
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, mins, _ = [*parts, 0, 0][:3] if days else [0] * (3 - len(parts)) + parts
    return int(days or 0) * 1440 + hours * 60 + mins


def partitions(profile: Profile, known: Mapping[str, Partition]) -> Iterator[Finding]:
    """The profile's partitions against those that SLURM has: state, time limit, memory, GPUs."""
    up = ", ".join(name for name, partition in known.items() if partition.state == "up")
    for key in ("slurm_partition", "gpu_partition"):
        given = getattr(profile.site, key)
        if not given and profile.settings.get("slurm-partition-config"):
            yield ok("partition", f"{key}: none, slurm-partition-config chooses by limits")
            continue
        names = named(given, known)
        if not names:
            yield mend("partition", f"{key} is missing. Set it to one of: {', '.join(known)}")
        for name in names:
            shown, found = f"{key}: {name if given else f'none, SLURM takes {name}'}", known.get(name)
            if found is None:
                yield mend("partition", f"{shown} is not here. Set it to one of: {', '.join(known)}")
            elif found.state != "up":
                remedy = f"Wait until it is up, or set it to one of: {up}"
                yield mend("partition", f"{shown} is {found.state}, SLURM starts no job there. {remedy}")
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
    if limit < site.longest_minutes:
        over = f"{site.longest_minutes} is above the limit of {name}"
        yield mend("time limit", f"longest_minutes: {over}. Set it to {limit:.0f}")
    if not gpus:
        yield mend("GPUs", f"{name} has none; set gpu_partition to a partition whose `sinfo -o '%R %G'` shows gpu")
    elif site.gpu_type not in ("", "none", *types):
        accepted = ", ".join(kind for kind in types if re.fullmatch(r"[\w.]+", kind))
        remedy = f"Set it to none{' or one of: ' if accepted else ''}{accepted}"
        yield mend("GPUs", f"gpu_type: {site.gpu_type} is not in {name}. {remedy}")
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
    shown = re.search(r"MinJobAge\s*=\s*(\d+)", command("scontrol", "show", "config") or "")
    if shown is None:
        return note("job states", "`scontrol show config` says no MinJobAge: how long squeue remembers is not known")
    age = int(shown[1])
    if age < 3 * int(profile.settings.get(FIRST_QUESTION) or 40):
        return mend("job states", f"squeue forgets jobs after {age} s: set {FIRST_QUESTION} to {max(age // 3, 1)}")
    return ok("job states", f"squeue remembers finished jobs for {age} s")


def preemption(profile: Profile, known: Mapping[str, Partition]) -> Iterator[Finding]:
    """Whether jobs may be preempted, and the profile is made for that: Snakemake leaves a preempted job to SLURM."""
    if "preempt/none" in (command("scontrol", "show", "config") or "preempt/none"):
        return
    remedies = {"REQUEUE": "set slurm-requeue: true (docs/cluster.md)", "CANCEL": "then Ctrl-C, and the same command"}
    given = (profile.site.slurm_partition, profile.site.gpu_partition)
    shown = command("scontrol", "--oneliner", "show", "partition") or ""
    modes = dict(re.findall(r"PartitionName=(\S+).*?PreemptMode=(\w+)", shown))
    for name in dict.fromkeys(name for value in given for name in named(value, known)):
        mode = modes.get(name)
        if mode == "REQUEUE" and profile.settings.get("slurm-requeue"):
            yield ok("preemption", f"preempted jobs of {name} are requeued")
        elif mode in remedies:
            waits = f"{name} preempts jobs, for which Snakemake would wait for ever"
            yield note("preemption", f"{waits}: {remedies[mode]}")
