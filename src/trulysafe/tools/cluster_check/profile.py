"""A Snakemake profile as Snakemake reads it, and the lines in it that nothing reads."""

import builtins
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from snakemake.profiles import ProfileConfigFileParser
from snakemake.resources import Resource, Resources

from trulysafe.common.errors import UserError
from trulysafe.plan.resources import Site
from trulysafe.workflow.fingerprint import SOURCE

ASKED = set(
    "slurm_partition slurm_account slurm_cluster slurm_extra qos constraint cluster clusters gpu gpu_model gres nodes "
    "tasks tasks_per_node tasks_per_gpu mpi cpus_per_task cpus_per_gpu mem_mb mem_mb_per_cpu runtime".split()
)
"""Resources that decide what SLURM is asked for."""
RESOURCES = ASKED.union(Site.model_fields, "mem mem_mib disk disk_mb disk_mib tmpdir".split())
"""Resources that the workflow, Snakemake or its plugin for SLURM reads."""
FIRST_QUESTION = "slurm-init-seconds-before-status-checks"


class Finding(NamedTuple):
    """One line: ``state`` is ``ok``, ``note`` (may be right) or ``mend`` (jobs will fail)."""

    state: str
    what: str
    says: str

    def __str__(self) -> str:
        return f"{self.state:<5} {self.what:<14} {self.says}"


ok, note, mend = (partial(Finding, state) for state in ("ok", "note", "mend"))


class Profile(NamedTuple):
    """A profile: its lines, its resources not yet evaluated, how often a job is started at most, the site block."""

    file: Path
    settings: Mapping[str, Any]
    defaults: Mapping[str, Resource]
    of_rules: Mapping[str, Mapping[str, Resource]]
    attempts: int
    site: Site


def read_profile(folder: Path) -> Profile:
    """Read the file of a profile folder that Snakemake would take, the one for the newest version; UserError where
    there is none, it is no YAML, or a line of it is not what Snakemake takes."""
    name = re.compile(r"(?:profile|config)(?:\.v(\d+)\+)?\.yaml")
    versions = {path: int(found[1] or 0) for path in folder.glob("*.yaml") if (found := name.fullmatch(path.name))}
    if not versions:
        raise UserError(f"{folder} holds no config.yaml; name the folder of a profile (--profile profiles/slurm).")
    file, of_rules = max(sorted(versions), key=versions.__getitem__), dict[str, list[str]]()
    try:
        with file.open(encoding="utf-8") as stream:
            lines = ProfileConfigFileParser().parse(stream)  # as texts; paths that lie beside it are below its folder
        for key, given in ((key, lines.get(key, [])) for key in ("default-resources", "set-resources")):
            if wrong := [line for line in (given if isinstance(given, list) else [given]) if "=" not in str(line)]:
                raise ValueError(f"{key}: {wrong[0]!r} is not accepted. Accepted: lines `name: value` below it")
        for rule, _, assigned in (line.partition(":") for line in lines.get("set-resources", [])):
            of_rules.setdefault(rule, []).append(assigned)
        defaults = Resources.parse(lines.get("default-resources", []), allow_expressions=True)
        parsed = {rule: Resources.parse(own, allow_expressions=True) for rule, own in of_rules.items()}
        for key, raw in ((key, item.raw) for own in (defaults, *parsed.values()) for key, item in own.items()):
            if hasattr(builtins, str(raw)):
                raise ValueError(f"{key}: {raw} is a name of Python's. As a text it stands in two kinds of quotes")
    except Exception as error:  # Snakemake raises many kinds, of which the user needs the message
        said = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{file}: Snakemake cannot read it: {said}. Mend it there.") from None
    for key in ("retries", FIRST_QUESTION):
        if not str(lines.get(key, 0)).isdecimal():
            raise UserError(f"{key}: {lines[key]!r} is no whole number. Mend it in {file}.")
    site = Site.from_defaults({name: resource.raw for name, resource in defaults.items()})
    settings = {key: value for key, value in lines.items() if value not in ("", "False")}
    return Profile(file, settings, defaults, parsed, int(settings.get("retries", 0)) + 1, site)


def unknown_keys(profile: Profile) -> Iterator[Finding]:
    """Rules that there are not, and resources that nothing reads; options that there are not Snakemake refuses."""
    texts = "".join(file.read_text("utf-8") for file in (SOURCE.parent / "workflow" / "rules").glob("*.smk"))
    rules = set(re.findall(r"^rule (\w+):", texts, re.MULTILINE))
    unknown = sorted(profile.of_rules.keys() - rules)
    wrong = [(mend, f"set-resources: there is no rule {rule}.", rule, rules) for rule in unknown]
    of_rules = {f"set-resources.{rule}": own for rule, own in profile.of_rules.items()}
    for where, own in {"default-resources": profile.defaults, **of_rules}.items():
        unread = sorted(own.keys() - RESOURCES)
        wrong += [(note, f"{where}.{key}: nothing here reads it.", key, RESOURCES) for key in unread]
    for found, said, key, known in wrong:
        near = get_close_matches(key, sorted(known), n=1)
        yield found("profile", f"{said} {f'Did you mean {near[0]}?' if near else 'Remove it.'}")
