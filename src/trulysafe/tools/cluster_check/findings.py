"""What is found, and first the lines of a profile that nothing reads."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import partial
from typing import NamedTuple

from trulysafe.plan.profile import Profile
from trulysafe.plan.resources import Site
from trulysafe.workflow.fingerprint import SOURCE

ASKED = set(
    "slurm_partition slurm_account slurm_cluster slurm_extra qos constraint cluster clusters gpu gpu_model gres nodes "
    "tasks tasks_per_node tasks_per_gpu mpi cpus_per_task cpus_per_gpu mem_mb mem_mb_per_cpu runtime".split()
)
"""Resources that decide what SLURM is asked for."""
RESOURCES = ASKED.union(Site.model_fields, "mem mem_mib disk disk_mb disk_mib tmpdir".split())
"""Resources that the workflow, Snakemake or its plugin for SLURM reads."""


class Finding(NamedTuple):
    """One line: ``state`` is ``ok``, ``note`` (may be right) or ``mend`` (jobs will fail)."""

    state: str
    what: str
    says: str

    def __str__(self) -> str:
        return f"{self.state:<5} {self.what:<14} {self.says}"


ok, note, mend = (partial(Finding, state) for state in ("ok", "note", "mend"))


def unknown_keys(profile: Profile) -> Iterator[Finding]:
    """Rules that there are not, and resources that nothing reads; options that there are not Snakemake refuses."""
    texts = "".join(file.read_text("utf-8") for file in (SOURCE.parent / "workflow" / "rules").glob("*.smk"))
    rules = set(re.findall(r"^rule (\w+):", texts, re.MULTILINE))
    wrong = [(mend, "set-resources: there is no rule {}.", key, rules) for key in sorted({*profile.of_rules} - rules)]
    of_rules = {f"set-resources.{rule}": own for rule, own in profile.of_rules.items()}
    for where, own in {"default-resources": profile.defaults, **of_rules}.items():
        wrong += [(note, where + ".{}: nothing here reads it.", key, RESOURCES) for key in sorted({*own} - RESOURCES)]
    for found, said, key, known in wrong:
        near = get_close_matches(key, sorted(known), n=1)
        yield found("profile", f"{said.format(key)} {f'Did you mean {near[0]}?' if near else 'Remove it.'}")
