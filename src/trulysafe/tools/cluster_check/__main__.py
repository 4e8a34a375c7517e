"""The command: ``python -m trulysafe.tools.cluster_check``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from trulysafe.common.errors import UserError
from trulysafe.config.files import raw_configuration
from trulysafe.config.load import load
from trulysafe.config.tables.configuration import Configuration
from trulysafe.plan.plan import Plan
from trulysafe.tools.cluster_check.disk import folders
from trulysafe.tools.cluster_check.findings import Finding, command
from trulysafe.tools.cluster_check.keys import unknown_keys
from trulysafe.tools.cluster_check.machine import python, token
from trulysafe.tools.cluster_check.partitions import partitions, read_partitions
from trulysafe.tools.cluster_check.profile import Profile, read_profile
from trulysafe.tools.cluster_check.slurm import accounts, preemption, status_command
from trulysafe.tools.cluster_check.submissions import Job, jobs_of, submissions

PROFILE = Path("profiles/slurm")


def findings(profile: Profile, config: Configuration | None = None) -> Iterator[Finding]:
    """All findings, in the order in which to mend them.

    Args:
        profile: the profile to check.
        config: configuration whose jobs SLURM is asked about, and whose results have to fit on the disk; without one SLURM is asked
            about a job without a model alone.
    """
    yield from slurm(profile, jobs_of(Plan(config)) if config else [])
    yield from python(profile)
    yield from folders(config)
    yield token()


def slurm(profile: Profile, jobs: Iterable[Job]) -> Iterator[Finding]:
    """What SLURM says; where it does not answer nothing that it would have to say is judged."""
    version = command("sinfo", "--version")
    if version is None:
        yield Finding(
            "mend", "SLURM", "sinfo was not found or does not answer: run this on a login node (or `module load slurm`)"
        )
        yield from unknown_keys(profile)
        return
    there = read_partitions()
    if there is None:
        yield Finding(
            "mend",
            "SLURM",
            f"{version.strip()}, but its controller does not answer: partitions, limits and jobs are not checked. When `scontrol ping` "
            "says UP, run this again",
        )
        return
    yield Finding("ok", "SLURM", version.strip())
    yield from unknown_keys(profile)
    yield from partitions(profile, there)
    yield from accounts(profile)
    yield status_command(profile)
    yield from preemption(profile, there)
    yield from submissions(profile, jobs, there)


def main() -> int:
    """Print all findings; return 1 if something has to be mended."""
    parser = argparse.ArgumentParser(description="Does the SLURM profile fit this cluster?")
    parser.add_argument("--profile", type=Path, default=PROFILE, help="folder of the profile (default: profiles/slurm)")
    parser.add_argument("--configfile", type=Path, nargs="+", help="configuration whose jobs SLURM is asked about")
    arguments = parser.parse_args()
    try:
        profile = read_profile(arguments.profile)
        config = load(raw_configuration(arguments.configfile)) if arguments.configfile else None
        found = list(findings(profile, config))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(*found, sep="\n")
    mend = sum(finding.state == "mend" for finding in found)
    print(
        f"\n{mend} to mend; the profile is {profile.file}" if mend else "\nNothing to mend: snakemake --profile slurm"
    )
    return int(mend > 0)


if __name__ == "__main__":
    sys.exit(main())
