"""Keys and rules in a profile that nothing reads: most are misspelt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from difflib import get_close_matches

from trulysafe.plan.resources import Site
from trulysafe.tools.cluster_check.findings import Finding
from trulysafe.tools.cluster_check.profile import Profile
from trulysafe.tools.cluster_check.submissions import KNOWN_RULES

RESOURCES = {
    "slurm_partition", "slurm_account", "slurm_extra", "qos", "constraint", "cluster", "clusters", "slurm_cluster",
    "gpu", "gpu_model", "gres", "nodes", "tasks", "tasks_per_node", "tasks_per_gpu", "mpi", "cpus_per_task",
    "cpus_per_gpu", "mem", "mem_mb", "mem_mib", "mem_mb_per_cpu", "disk", "disk_mb", "disk_mib", "runtime", "tmpdir",
}  # fmt: skip
"""Resources that Snakemake or its plugin for SLURM reads."""


def unknown_keys(profile: Profile) -> Iterator[Finding]:
    """Lines that Snakemake refuses, rules that there are not, and resources that neither the workflow nor the plugin reads."""
    options = _options()
    for key in profile.settings:
        if options and key not in options and not str(key).startswith("__"):
            yield Finding(
                "mend", "profile", f"{key} is no option of Snakemake, which would not start.{_near(key, options)}"
            )
    for rule in profile.of_rules:
        if rule not in KNOWN_RULES:
            yield Finding("mend", "profile", f"set-resources: there is no rule {rule}.{_near(rule, set(KNOWN_RULES))}")
    known = RESOURCES | {field.name for field in fields(Site)}
    of_rules = {f"set-resources.{rule}": own for rule, own in profile.of_rules.items()}
    for where, resources in {"default-resources": profile.defaults, **of_rules}.items():
        for key in resources:
            if key not in known:
                yield Finding("note", "profile", f"{where}.{key}: nothing here reads it.{_near(key, known)}")


def _options() -> set[str]:
    """Options of Snakemake and its plugins; none where the plugin for SLURM cannot look for SLURM's commands."""
    try:
        from snakemake.cli import get_argument_parser  # its plugins ask SLURM's controller while they are imported

        parser = get_argument_parser()
    except OSError:
        return set()
    return {key for action in parser._actions for key in parser.get_possible_config_keys(action)}


def _near(key: object, known: set[str]) -> str:
    near = get_close_matches(str(key), sorted(known), n=1)
    return f" Did you mean {near[0]}?" if near else " Remove it."
