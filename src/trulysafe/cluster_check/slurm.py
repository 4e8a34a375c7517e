"""Partitions, GPUs, accounts, job states and preemption: the profile against what SLURM says of itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from trulysafe.cluster_check.findings import Finding, command
from trulysafe.cluster_check.profile import Profile
from trulysafe.resources import Site


def partitions(profile: Profile) -> Iterator[Finding]:
    """The profile's partitions against those that SLURM has: state, time limit, memory, GPUs."""
    rows = [
        line.split("|") for line in (command("sinfo", "--noheader", "--format=%R|%a|%l|%m|%G|%f") or "").splitlines()
    ]
    names = list(dict.fromkeys(row[0] for row in rows))
    site = profile.site
    for key, name in {"slurm_partition": site.slurm_partition, "gpu_partition": site.gpu_partition}.items():
        own = [row for row in rows if row[0] == name]
        if not own:
            yield Finding(
                "mend", "partition", f"{key}: {name or '(empty)'} is not here. Set it to one of: {', '.join(names)}"
            )
            continue
        limit, memory = own[0][2], max(int(re.sub(r"\D", "", row[3])) for row in own) // 1000
        gpus = sorted({gpu for row in own for gpu in re.findall(r"gpu:[\w.:]+", row[4])})
        yield Finding(
            "ok",
            "partition",
            f"{key}: {name} ({own[0][1]}), limit {limit}, nodes up to {memory} GB, {', '.join(gpus) or 'no GPUs'}",
        )
        if key == "gpu_partition":
            if minutes(limit) < site.longest_minutes:
                yield Finding(
                    "mend",
                    "time limit",
                    f"longest_minutes: {site.longest_minutes} is above the limit of {name}. Set it to {minutes(limit):.0f}",
                )
            yield from gpu_facts(site, name, gpus, {feature for row in own for feature in row[5].split(",")})
            if memory < site.most_memory_gb:
                yield Finding(
                    "note",
                    "memory",
                    f"most_memory_gb: {site.most_memory_gb}, but nodes of {name} have {memory}. Set it to {memory}",
                )


def gpu_facts(site: Site, partition: str, gpus: list[str], features: set[str]) -> Iterator[Finding]:
    """Type and constraint of the GPUs asked for against what the partition's nodes have."""
    types = sorted({gpu.split(":")[1] for gpu in gpus if gpu.count(":") == 2})
    if not gpus:
        yield Finding(
            "mend", "GPUs", f"{partition} has none; set gpu_partition to a partition whose `sinfo -o '%R %G'` shows gpu"
        )
    elif site.gpu_type != "none" and site.gpu_type not in types:
        yield Finding(
            "mend",
            "GPUs",
            f"gpu_type: {site.gpu_type} is not in {partition}. Set it to none or one of: {', '.join(types) or '(untyped)'}",
        )
    if site.gpu_constraint != "none" and not set(re.findall(r"[\w.-]+", site.gpu_constraint)) <= features:
        yield Finding(
            "mend",
            "GPUs",
            f"gpu_constraint: {site.gpu_constraint} is no feature of {partition}; it has: {', '.join(sorted(features))}",
        )


def accounts(profile: Profile) -> Iterator[Finding]:
    """The profile's account against the user's own, where SLURM keeps accounts."""
    user = os.environ.get("USER") or str(os.getuid())
    listed = command("sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={user}", "format=account,qos")
    if not listed:
        yield Finding(
            "ok", "account", "SLURM keeps no accounts that it would show; fine with slurm-status-command: squeue"
        )
        return
    own = sorted({line.split("|")[0] for line in listed.splitlines()})
    given = profile.defaults.get("slurm_account")
    if given and str(given) not in own:
        yield Finding("mend", "account", f"slurm_account: {given} is not yours. Set it to one of: {', '.join(own)}")
    else:
        yield Finding("ok", "account", f"{given or '(SLURM chooses)'}; yours: {', '.join(own)}")


def status_command(profile: Profile) -> Finding:
    """Whether squeue remembers finished jobs for long enough."""
    shown = re.search(r"MinJobAge\s*=\s*(\d+)", command("scontrol", "show", "config") or "")
    age, needed = (
        int(shown[1]) if shown else 0,
        3 * int(profile.settings.get("slurm-init-seconds-before-status-checks", 40)),
    )
    if profile.settings.get("slurm-status-command") != "squeue":
        return Finding(
            "mend", "job states", "slurm-status-command must be squeue: sacct waits for ever for a cancelled job"
        )
    if age < needed:
        return Finding(
            "mend",
            "job states",
            f"squeue forgets jobs after {age} s: set slurm-init-seconds-before-status-checks to {max(age // 3, 1)}",
        )
    return Finding("ok", "job states", f"squeue remembers finished jobs for {age} s")


def preemption(profile: Profile) -> Iterator[Finding]:
    """Whether jobs may be preempted, and whether the profile is made for that: Snakemake leaves a preempted job to SLURM."""
    if "preempt/none" in (command("scontrol", "show", "config") or "preempt/none"):
        return
    for name in dict.fromkeys((profile.site.slurm_partition, profile.site.gpu_partition)):
        shown = re.search(r"PreemptMode=(\w+)", command("scontrol", "--oneliner", "show", "partition", name) or "")
        mode = shown[1] if shown else "OFF"
        if mode == "REQUEUE" and profile.settings.get("slurm-requeue"):
            yield Finding("ok", "preemption", f"preempted jobs of {name} are requeued")
        elif mode in ("REQUEUE", "CANCEL"):
            remedy = (
                "set slurm-requeue: true (docs/cluster.md)"
                if mode == "REQUEUE"
                else "then Ctrl-C, and the same command"
            )
            yield Finding(
                "note", "preemption", f"{name} preempts jobs, for which Snakemake would wait for ever: {remedy}"
            )


def minutes(limit: str) -> float:
    """Minutes of a SLURM time limit (``1-12:00:00``, ``30:00``, ``infinite``)."""
    if not re.fullmatch(r"[\d:-]+", limit):
        return float("inf")
    days, _, rest = limit.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    hours, mins, _ = [*parts, 0, 0][:3] if days else [0] * (3 - len(parts)) + parts
    return int(days or 0) * 1440 + hours * 60 + mins
