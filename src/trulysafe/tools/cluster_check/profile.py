"""A Snakemake profile as Snakemake reads it, and the lines in it that nothing reads."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.iocontainers import InputFiles, Wildcards
from snakemake.profiles import ProfileConfigFileParser
from snakemake.resources import Resource, Resources

from trulysafe.common.errors import UserError
from trulysafe.plan.resources import Site
from trulysafe.workflow.fingerprint import SOURCE

FORMS = {"default-resources": r"[^=]+=.*", "set-resources": r"[^:=]+:[^=]+=.*"}
"""Settings of resources: the form of an assignment, where they are a list of those."""
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


@dataclass(frozen=True)
class Profile:
    """A profile: its lines, its resources not yet evaluated, how often a job is started at most, the site block."""

    file: Path
    settings: Mapping[str, Any]
    defaults: Mapping[str, Resource]
    of_rules: Mapping[str, Mapping[str, Resource]]
    attempts: int
    site: Site

    def evaluated(self, resources: Mapping[str, Resource], attempt: int = 1) -> dict[str, Any]:
        """Values at an attempt, but for what depends on a job's files; UserError where Snakemake finds no value."""
        values, job = {}, {"attempt": attempt, "threads": 1, "rulename": "", "async_run": None}
        for name, resource in resources.items():
            if re.search(r"\b(?:input|wildcards)\b", str(resource.raw or "")):
                continue
            try:
                values[name] = resource.evaluate(Wildcards(), input=InputFiles(), **job).value
            except (WorkflowError, ValueError, TypeError) as error:
                raise UserError(
                    f"{name}: Snakemake evaluates {resource.raw} as Python and cannot use what that gives "
                    f"({_one_line(error)}). Mend it in {self.file}; a text stands in two kinds of quotes: \"'all'\"."
                ) from None
        return values


def read_profile(folder: Path) -> Profile:
    """Read the file of a profile folder that Snakemake would take, the one for the newest version; UserError where
    there is none, it is no YAML, or a line of it is not what Snakemake takes."""
    name = re.compile(r"(?:profile|config)(?:\.v(\d+)\+)?\.yaml")
    versions = {path: int(found[1] or 0) for path in folder.glob("*.yaml") if (found := name.fullmatch(path.name))}
    if not versions:
        raise UserError(f"{folder} holds no config.yaml; name the folder of a profile (--profile profiles/slurm).")
    file = max(sorted(versions), key=versions.__getitem__)
    settings, of_rules = _settings(file), dict[str, list[str]]()
    try:
        with file.open(encoding="utf-8") as stream:
            lines = ProfileConfigFileParser().parse(stream)
        for rule, _, assigned in (line.partition(":") for line in lines.get("set-resources", [])):
            of_rules.setdefault(rule, []).append(assigned)
        defaults = Resources.parse(lines.get("default-resources", []), allow_expressions=True)
        parsed = {rule: Resources.parse(own, allow_expressions=True) for rule, own in of_rules.items()}
    except Exception as error:  # Snakemake raises many kinds, of which the user needs the message
        raise UserError(f"{file}: Snakemake cannot read its resources: {_one_line(error)}. Mend it there.") from None
    site = Site.from_defaults({name: resource.raw for name, resource in defaults.items()})
    return Profile(file, settings, defaults, parsed, int(settings.get("retries") or 0) + 1, site)


def _settings(file: Path) -> Mapping[str, Any]:
    """A profile's lines; numbers and resources are of the form that Snakemake takes."""
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        kind = "YAML" if isinstance(error, yaml.YAMLError) else "UTF-8 text"
        raise UserError(f"{file} is no {kind}: {error}") from None
    if not isinstance(settings, dict):
        found = "empty" if settings is None else "no mapping"
        raise UserError(f"{file} is {found}. Accepted: lines of the form `key: value`.")
    for key, form in FORMS.items():
        value, line = settings.get(key) or {}, "train: {runtime: 60}" if key[:3] == "set" else "slurm_partition: cpu"
        wrong = [] if isinstance(value, dict | list) else [value]
        if isinstance(value, list):
            wrong = [line for line in value if not re.fullmatch(form, str(line), re.DOTALL)]
        elif isinstance(value, dict) and key == "set-resources":
            wrong = [own for own in value.values() if not isinstance(own, dict)]
        if wrong:
            accepted = f"Accepted: lines of the form `{line}` below it"
            raise UserError(f"{key}: {wrong[0]!r} is not accepted. {accepted}. Mend it in {file}.")
    for key in ("retries", "slurm-init-seconds-before-status-checks"):
        if not re.fullmatch(r"\d+|None", str(settings.get(key))):
            raise UserError(f"{key}: {settings[key]!r} is no whole number. Mend it in {file}.")
    return settings


def unknown_keys(profile: Profile) -> Iterator[Finding]:
    """Lines that Snakemake refuses, rules that there are not, resources that nothing reads."""
    try:
        from snakemake.cli import get_argument_parser  # its plugin for SLURM asks the controller while it is imported

        parser = get_argument_parser()
        options = {key for action in parser._actions for key in parser.get_possible_config_keys(action)}
    except OSError:  # the plugin found no command of SLURM
        options = set(profile.settings)
    for key in (key for key in profile.settings if key not in options and not str(key).startswith("__")):
        yield mend("profile", f"{key} is no option of Snakemake, which would not start.{_near(key, options)}")
    for rule in sorted(profile.of_rules.keys() - rule_names()):
        yield mend("profile", f"set-resources: there is no rule {rule}.{_near(rule, rule_names())}")
    of_rules = {f"set-resources.{rule}": own for rule, own in profile.of_rules.items()}
    for where, resources in {"default-resources": profile.defaults, **of_rules}.items():
        for key in sorted(resources.keys() - RESOURCES):
            yield note("profile", f"{where}.{key}: nothing here reads it.{_near(key, RESOURCES)}")


def rule_names() -> set[str]:
    """Names of the workflow's rules."""
    files = (SOURCE.parent / "workflow" / "rules").glob("*.smk")
    return {rule for file in files for rule in re.findall(r"^rule (\w+):", file.read_text("utf-8"), re.MULTILINE)}


def _near(key: object, known: set[str]) -> str:
    near = get_close_matches(str(key), sorted(known), n=1)
    return f" Did you mean {near[0]}?" if near else " Remove it."


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
