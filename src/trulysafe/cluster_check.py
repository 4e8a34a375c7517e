"""Does the SLURM profile fit this cluster? ``make cluster-check`` on a login node says so in one screen, and what to change.

It asks SLURM itself (``sinfo``, ``scontrol``, ``sbatch --test-only``, which submits nothing) and looks at the file systems. It says
whether there is a token for gated models, never what it is.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from trulysafe.config.files import raw_configuration
from trulysafe.config.load import load
from trulysafe.config.plan import Plan
from trulysafe.errors import UserError
from trulysafe.resources import REQUESTS, Site, requests

PROFILE = Path("profiles/slurm")
PROFILE_NAME = re.compile(r"(?:profile|config)(?:\.v(\d+)\+)?\.yaml")
CACHES = ("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "XDG_CACHE_HOME", "TMPDIR")
LOCAL_FILE_SYSTEMS = {"tmpfs", "overlay", "overlayfs", "ramfs", "ext2/ext3", "xfs", "btrfs"}
LEAST_FREE_GB = 50


@dataclass(frozen=True)
class Finding:
    """One line: ``state`` is ``ok``, ``note`` (may be right) or ``mend`` (jobs will fail)."""

    state: str
    what: str
    says: str

    def __str__(self) -> str:
        return f"{self.state:<5} {self.what:<14} {self.says}"


@dataclass(frozen=True)
class Profile:
    """What of a profile the cluster has to agree with."""

    file: Path
    defaults: Mapping[str, Any]
    settings: Mapping[str, Any]
    site: Site

    @property
    def attempts(self) -> int:
        """How often a job is started at most."""
        return int(self.settings.get("retries", 0)) + 1


def read_profile(folder: Path) -> Profile:
    """Read the file of a profile folder that Snakemake would take: the one for the newest version.

    Raises:
        UserError: there is none, it is no YAML, or its site block is wrong.
    """
    found = sorted((path for path in folder.glob("*.yaml") if PROFILE_NAME.fullmatch(path.name)), key=_least_version)
    if not found:
        raise UserError(
            f"{folder} holds no config.yaml; name the folder of a Snakemake profile (--profile profiles/slurm)."
        )
    try:
        settings = yaml.safe_load(found[-1].read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{found[-1]} is no YAML: {error}") from None
    defaults = settings.get("default-resources") or {}
    if isinstance(defaults, list):
        defaults = dict(item.split("=", 1) for item in defaults)
    return Profile(found[-1], defaults, settings, Site.from_defaults(defaults))


def findings(profile: Profile, sizes: Mapping[str, str]) -> Iterator[Finding]:
    """All findings, in the order in which to mend them.

    Args:
        profile: the profile to check.
        sizes: name -> size class of the models that a configuration uses; empty checks jobs without a model alone.
    """
    version = command("sinfo", "--version")
    if version is None:
        yield Finding(
            "mend", "SLURM", "sinfo was not found or does not answer: run this on a login node (or `module load slurm`)"
        )
    else:
        yield Finding("ok", "SLURM", version.strip())
        yield from partitions(profile)
        yield from accounts(profile)
        yield status_command(profile)
        yield from preemption(profile)
        yield from submissions(profile, sizes)
    yield from python(profile)
    yield from folders()
    yield token()


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


def submissions(profile: Profile, sizes: Mapping[str, str]) -> Iterator[Finding]:
    """Ask SLURM whether it would take each kind of job, at its first and at its last attempt."""
    asked: dict[str, dict[str, Any]] = {"no model": {"slurm_partition": profile.site.slurm_partition}}
    for size in sorted(set(sizes.values())):
        for kind in REQUESTS:
            asked[f"{kind} {size}"] = requests(kind, partial(_constant, size), profile.site)
    for name, resources in asked.items():
        for attempt in sorted({1, profile.attempts}):
            refused = test_submission(profile, resources, attempt)
            if refused is not None:
                yield Finding("mend", "jobs", f"{name}, attempt {attempt}: {refused}")
                break
        else:
            yield Finding("ok", "jobs", f"{name}: SLURM would take it, at attempt {profile.attempts} too")


def test_submission(profile: Profile, resources: Mapping[str, Any], attempt: int) -> str | None:
    """Why SLURM would refuse a job; None if it would take it. Nothing is submitted."""
    values = {}
    for key, value in resources.items():
        arguments = (None, attempt) if key in ("mem_mb", "runtime") else (None,)
        values[key] = value(*arguments) if callable(value) else value
    gpus = f"{values['gpu_model']}:{values['gpu']}" if values.get("gpu_model") else values.get("gpu")
    flags = {
        "--partition": values.get("slurm_partition"), "--gpus": gpus, "--gres": values.get("gres"),
        "--constraint": values.get("constraint"), "--cpus-per-task": values.get("cpus_per_task"), "--mem": values.get("mem_mb"),
        "--time": values.get("runtime"), "--account": profile.defaults.get("slurm_account"), "--qos": profile.defaults.get("qos"),
    }  # fmt: skip
    asked = [f"{flag}={value}" for flag, value in flags.items() if value]
    done = subprocess.run(
        ["sbatch", "--test-only", "--ntasks=1", *asked, "--wrap=true"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1].rpartition(": ")[2]
    return f"{reason} ({' '.join(asked)})" if done.returncode else None


def python(profile: Profile) -> Iterator[Finding]:
    """Interpreter, build of torch and plugin."""
    here = f"{sys.version.split()[0]} in {sys.prefix}"
    place = file_system(Path(sys.prefix))
    local = place in LOCAL_FILE_SYSTEMS
    yield Finding(
        "note" if local else "ok",
        "Python",
        f"{here} ({place}{'; do the compute nodes see this folder?' if local else ''})",
    )
    torch = metadata.version("torch")
    if torch.endswith("+cpu") and profile.site.gpu_partition:
        yield Finding("note", "torch", f"{torch} uses no GPU: for models above tiny, `make env TORCH=cu130 EXTRA=gpu`")
    else:
        yield Finding("ok", "torch", torch)


def folders() -> Iterator[Finding]:
    """Free space where results and caches go, and whether caches are set and can be written to."""
    for name, path in {
        "results": Path.cwd(),
        **{key: Path(os.environ[key]) for key in CACHES if os.environ.get(key)},
    }.items():
        near = next(parent for parent in (path, *path.parents) if parent.exists())
        free = shutil.disk_usage(near).free // 10**9
        state = (
            "mend" if not os.access(near, os.W_OK) else "note" if free < LEAST_FREE_GB and name != "TMPDIR" else "ok"
        )
        says = "cannot be written to" if state == "mend" else f"{free} GB free, {file_system(near)}"
        yield Finding(
            state,
            name,
            f"{path}: {says}{' (an 8B model takes 16 GB, each trained policy again)' if state == 'note' else ''}",
        )
    if not os.environ.get("HF_HOME"):
        yield Finding(
            "note",
            "HF_HOME",
            "not set, models go to ~/.cache: `export HF_HOME=<large shared folder>` if your home has a quota",
        )


def token() -> Finding:
    """Whether there is a token for gated models; its value is neither read nor shown."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    present = bool(os.environ.get("HF_TOKEN")) or Path(os.environ.get("HF_TOKEN_PATH") or home / "token").is_file()
    says = "a token is there" if present else "no token: Llama and other gated models need one (`hf auth login`)"
    return Finding("ok" if present else "note", "gated models", says)


def command(*words: str) -> str | None:
    """What a command printed; None if it is not there, fails or hangs."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _least_version(path: Path) -> int:
    found = PROFILE_NAME.fullmatch(path.name)
    return int(found[1] or 0) if found else 0


def _constant(value: str, wildcards: object) -> str:
    return value


def file_system(path: Path) -> str:
    """Kind of file system that a path is on, as `stat` names it."""
    return (command("stat", "--file-system", "--format=%T", str(path)) or "unknown").strip()


def minutes(limit: str) -> float:
    """Minutes of a SLURM time limit (``1-12:00:00``, ``30:00``, ``infinite``)."""
    if not re.fullmatch(r"[\d:-]+", limit):
        return float("inf")
    days, _, rest = limit.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    hours, mins, _ = [*parts, 0, 0][:3] if days else [0] * (3 - len(parts)) + parts
    return int(days or 0) * 1440 + hours * 60 + mins


def main() -> int:
    """Print all findings; return 1 if something has to be mended."""
    parser = argparse.ArgumentParser(description="Does the SLURM profile fit this cluster?")
    parser.add_argument("--profile", type=Path, default=PROFILE, help="folder of the profile (default: profiles/slurm)")
    parser.add_argument(
        "--configfile", type=Path, nargs="+", help="configuration whose models' jobs SLURM is asked about"
    )
    arguments = parser.parse_args()
    try:
        profile = read_profile(arguments.profile)
        sizes = {}
        if arguments.configfile:
            config = load(raw_configuration(arguments.configfile))
            sizes = {name: Plan(config).size(name) for name in config.models}
        found = list(findings(profile, sizes))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(*found, sep="\n")
    mend = sum(finding.state == "mend" for finding in found)
    print(f"\n{mend} to mend in {profile.file}" if mend else "\nNothing to mend: snakemake --profile slurm")
    return int(mend > 0)


if __name__ == "__main__":
    sys.exit(main())
