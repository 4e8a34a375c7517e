"""Accounts, job states and preemption: the profile against what SLURM says of itself."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Mapping

from trulysafe.tools.cluster_check.findings import Finding, command
from trulysafe.tools.cluster_check.partitions import Partition, named
from trulysafe.tools.cluster_check.profile import Profile


def accounts(profile: Profile) -> Iterator[Finding]:
    """The profile's account against the user's own, where SLURM keeps accounts."""
    user = _user()
    listed = command("sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={user}", "format=account,qos")
    if not listed:
        yield Finding(
            "ok", "account", "SLURM keeps no accounts that it would show; fine with slurm-status-command: squeue"
        )
        return
    own = sorted({line.split("|")[0] for line in listed.splitlines()})
    given = profile.evaluated(profile.defaults).get("slurm_account")
    if given and not set(re.split(r"[,\s]+", str(given))) <= set(own):
        yield Finding("mend", "account", f"slurm_account: {given} is not yours. Set it to one of: {', '.join(own)}")
    else:
        yield Finding("ok", "account", f"{given or '(SLURM chooses)'}; yours: {', '.join(own)}")


def status_command(profile: Profile) -> Finding:
    """Whether squeue remembers finished jobs for long enough."""
    if profile.settings.get("slurm-status-command") != "squeue":
        return Finding(
            "mend", "job states", "slurm-status-command must be squeue: sacct waits for ever for a cancelled job"
        )
    shown = re.search(r"MinJobAge\s*=\s*(\d+)", command("scontrol", "show", "config") or "")
    if shown is None:
        return Finding(
            "note", "job states", "`scontrol show config` says no MinJobAge: how long squeue remembers is not known"
        )
    age, needed = int(shown[1]), 3 * profile.number("slurm-init-seconds-before-status-checks", 40)
    if age < needed:
        return Finding(
            "mend",
            "job states",
            f"squeue forgets jobs after {age} s: set slurm-init-seconds-before-status-checks to {max(age // 3, 1)}",
        )
    return Finding("ok", "job states", f"squeue remembers finished jobs for {age} s")


def preemption(profile: Profile, there: Mapping[str, Partition]) -> Iterator[Finding]:
    """Whether jobs may be preempted, and whether the profile is made for that: Snakemake leaves a preempted job to SLURM."""
    if "preempt/none" in (command("scontrol", "show", "config") or "preempt/none"):
        return
    site = profile.site
    for name in dict.fromkeys((*named(site.slurm_partition, there), *named(site.gpu_partition, there))):
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


def _user() -> str:
    """The user's name; where the system has none, the number."""
    if name := os.environ.get("USER"):
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
