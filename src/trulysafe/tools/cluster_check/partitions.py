"""Partitions and their GPUs: the profile's against what SLURM has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trulysafe.plan.resources import Site
from trulysafe.tools.cluster_check.findings import Finding, command
from trulysafe.tools.cluster_check.profile import Profile

PLUGIN_TYPE = re.compile(r"[A-Za-z0-9_.]+")
"""Types of GPUs that Snakemake's plugin for SLURM passes on."""


@dataclass(frozen=True)
class Partition:
    """One partition, or several as one: ``memory`` is in GB, ``gpus`` are as ``sinfo`` names them (``gpu:a100:4``)."""

    state: str
    limit: str
    memory: int
    gpus: tuple[str, ...]
    features: frozenset[str]
    default: bool = False

    @property
    def types(self) -> list[str]:
        """Types of GPUs."""
        return sorted({gpu.split(":")[1] for gpu in self.gpus if gpu.count(":") == 2})


def read_partitions() -> dict[str, Partition] | None:
    """The partitions that SLURM has, by name; None if its controller does not answer."""
    if "DOWN" in (ping := command("scontrol", "ping", seconds=10, or_fails=True) or "") and "UP" not in ping:
        return None  # sinfo would ask for half a minute
    listed = command("sinfo", "--noheader", "--format=%P|%a|%l|%m|%G|%f", seconds=20)
    if listed is None:
        return None
    rows: dict[str, list[list[str]]] = {}
    for line in listed.splitlines():
        row = line.split("|")
        rows.setdefault(row[0], []).append(row)
    return {
        name.rstrip("*"): Partition(
            own[0][1],
            own[0][2],
            max(int(re.sub(r"\D", "", row[3])) for row in own) // 1000,
            tuple(sorted({gpu for row in own for gpu in gpus_of(row[4])})),
            frozenset(feature for row in own for feature in row[5].split(",")),
            name.endswith("*"),
        )
        for name, own in rows.items()
    }


def gpus_of(shown: str) -> list[str]:
    """GPUs among generic resources: ``gpu:a100-sxm:4(S:0-1),shard:8`` has ``gpu:a100-sxm:4``."""
    return [item for item in re.sub(r"\([^)]*\)", "", shown).split(",") if item.partition(":")[0] == "gpu"]


def named(given: str, there: Mapping[str, Partition]) -> list[str]:
    """The partitions that a value of ``slurm_partition`` stands for: those of a list, SLURM's default if it is empty."""
    return given.split(",") if given else [name for name, partition in there.items() if partition.default]


def longest(given: str, there: Mapping[str, Partition]) -> float:
    """Minutes that a job may take in one of the partitions that a value stands for."""
    return max((minutes(there[name].limit) for name in named(given, there) if name in there), default=float("inf"))


def partitions(profile: Profile, there: Mapping[str, Partition]) -> Iterator[Finding]:
    """The profile's partitions against those that SLURM has: state, time limit, memory, GPUs."""
    site, chosen = profile.site, profile.settings.get("slurm-partition-config")
    for key, given in {"slurm_partition": site.slurm_partition, "gpu_partition": site.gpu_partition}.items():
        if not given and chosen:
            yield Finding("ok", "partition", f"{key}: none, slurm-partition-config chooses by limits")
            continue
        names = named(given, there)
        if not names:
            yield Finding("mend", "partition", f"{key} is missing. Set it to one of: {', '.join(there)}")
        for name in names:
            yield _state(key, name if given else f"none, SLURM's default is {name}", there.get(name), there)
        own = {name: there[name] for name in names if name in there}
        if key == "gpu_partition" and own:
            yield from gpu_partition(site, own)


def _state(key: str, shown: str, partition: Partition | None, there: Mapping[str, Partition]) -> Finding:
    if partition is None:
        return Finding("mend", "partition", f"{key}: {shown} is not here. Set it to one of: {', '.join(there)}")
    if partition.state != "up":
        up = [name for name, other in there.items() if other.state == "up"]
        return Finding(
            "mend",
            "partition",
            f"{key}: {shown} is {partition.state}, SLURM starts no job there. Wait until it is up, or set it to one of: {', '.join(up)}",
        )
    return Finding(
        "ok",
        "partition",
        f"{key}: {shown} (up), limit {partition.limit}, nodes up to {partition.memory} GB, {', '.join(partition.gpus) or 'no GPUs'}",
    )


def gpu_partition(site: Site, own: Mapping[str, Partition]) -> Iterator[Finding]:
    """Limits and GPUs of the site block against the partitions with GPUs."""
    name, limit = ",".join(own), max(minutes(partition.limit) for partition in own.values())
    if limit < site.longest_minutes:
        yield Finding(
            "mend",
            "time limit",
            f"longest_minutes: {site.longest_minutes} is above the limit of {name}. Set it to {limit:.0f}",
        )
    yield from gpu_facts(site, name, own)
    memory = max(partition.memory for partition in own.values())
    if memory < site.most_memory_gb:
        yield Finding(
            "note",
            "memory",
            f"most_memory_gb: {site.most_memory_gb}, but nodes of {name} have {memory}. Set it to {memory}",
        )


def gpu_facts(site: Site, name: str, own: Mapping[str, Partition]) -> Iterator[Finding]:
    """Type and constraint of the GPUs asked for against what the partitions' nodes have."""
    types = sorted({kind for partition in own.values() for kind in partition.types})
    features = frozenset[str]().union(*(partition.features for partition in own.values()))
    if not any(partition.gpus for partition in own.values()):
        yield Finding(
            "mend", "GPUs", f"{name} has none; set gpu_partition to a partition whose `sinfo -o '%R %G'` shows gpu"
        )
    elif site.gpu_type not in ("", "none", *types):
        accepted = [kind for kind in types if PLUGIN_TYPE.fullmatch(kind)]
        yield Finding(
            "mend",
            "GPUs",
            f"gpu_type: {site.gpu_type} is not in {name}. Set it to none{' or one of: ' if accepted else ''}{', '.join(accepted)}",
        )
    elif site.gpu_type and not PLUGIN_TYPE.fullmatch(site.gpu_type):
        yield Finding(
            "mend",
            "GPUs",
            f"gpu_type: {site.gpu_type} is here, but Snakemake's plugin takes letters, digits, _ and . alone. Set it to none, and "
            f"gpu_constraint to a feature of these nodes if {name} has other types too; its features: {_listed(features)}",
        )
    if site.gpu_constraint != "none" and not set(re.findall(r"[\w.-]+", site.gpu_constraint)) <= features:
        yield Finding(
            "mend",
            "GPUs",
            f"gpu_constraint: {site.gpu_constraint} is no feature of {name}; it has: {_listed(features)}",
        )


def _listed(features: frozenset[str]) -> str:
    return ", ".join(sorted(features - {"(null)"})) or "none"


def minutes(limit: str) -> float:
    """Minutes of a SLURM time limit (``1-12:00:00``, ``30:00``, ``infinite``)."""
    if not re.fullmatch(r"[\d:-]+", limit):
        return float("inf")
    days, _, rest = limit.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    hours, mins, _ = [*parts, 0, 0][:3] if days else [0] * (3 - len(parts)) + parts
    return int(days or 0) * 1440 + hours * 60 + mins
