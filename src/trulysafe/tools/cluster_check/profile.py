"""What of a Snakemake profile the cluster has to agree with, read as Snakemake reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.iocontainers import InputFiles, Wildcards
from snakemake.profiles import ProfileConfigFileParser
from snakemake.resources import Resource, Resources

from trulysafe.common.errors import UserError
from trulysafe.plan.resources import Site

PROFILE_NAME = re.compile(r"(?:profile|config)(?:\.v(\d+)\+)?\.yaml")
RESOURCES = {
    "default-resources": ("slurm_partition: cpu", re.compile(r"[^=]+=.*", re.DOTALL)),
    "set-resources": ("train: {runtime: 60}", re.compile(r"[^:=]+:[^=]+=.*", re.DOTALL)),
}
"""Settings of resources: the form of their lines, and of an assignment where they are a list."""
NOT_KNOWN_HERE = re.compile(r"\b(?:input|wildcards)\b")


@dataclass(frozen=True)
class Profile:
    """What of a profile the cluster has to agree with.

    Attributes:
        file: where it stands.
        settings: its lines as YAML has them.
        defaults: ``default-resources``, not yet evaluated.
        of_rules: ``set-resources`` by rule, not yet evaluated.
        site: the site block.
    """

    file: Path
    settings: Mapping[str, Any]
    defaults: Mapping[str, Resource]
    of_rules: Mapping[str, Mapping[str, Resource]]
    site: Site

    @property
    def attempts(self) -> int:
        """How often a job is started at most."""
        return self.number("retries", 0) + 1

    def number(self, key: str, default: int) -> int:
        """A setting that is a whole number.

        Raises:
            UserError: it is none.
        """
        value = self.settings.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not str(value).isdecimal():
            raise UserError(f"{key}: {value!r} is no whole number. Mend it in {self.file}.")
        return int(value)

    def evaluated(self, resources: Mapping[str, Resource], attempt: int = 1) -> dict[str, Any]:
        """Values of resources at an attempt; what depends on a job's files is left out.

        Raises:
            UserError: Snakemake cannot evaluate one.
        """
        values = {}
        for name, resource in resources.items():
            if NOT_KNOWN_HERE.search(str(resource.raw or "")):
                continue
            try:
                found = resource.evaluate(
                    Wildcards(), input=InputFiles(), attempt=attempt, threads=1, rulename="", async_run=None
                )
                values[name] = found.value
            except (WorkflowError, ValueError, TypeError) as error:
                raise UserError(
                    f"{name}: Snakemake evaluates {resource.raw} as Python and cannot use what that gives ({_one_line(error)}). Mend it "
                    f"in {self.file}; a text stands in two kinds of quotes, as in \"'all'\"."
                ) from None
        return values


def read_profile(folder: Path) -> Profile:
    """Read the file of a profile folder that Snakemake would take: the one for the newest version.

    Raises:
        UserError: there is none, it is no YAML, or a line of it is not what Snakemake takes.
    """
    found = sorted((path for path in folder.glob("*.yaml") if PROFILE_NAME.fullmatch(path.name)), key=_least_version)
    if not found:
        raise UserError(
            f"{folder} holds no config.yaml; name the folder of a Snakemake profile (--profile profiles/slurm)."
        )
    file = found[-1]
    settings = _settings(file)
    try:
        with file.open(encoding="utf-8") as stream:
            lines = ProfileConfigFileParser().parse(stream)
        defaults = Resources.parse(lines.get("default-resources", []), allow_expressions=True)
        of_rules = _of_rules(lines.get("set-resources", []))
    except Exception as error:  # Snakemake raises many kinds, of which the user needs the message
        raise UserError(f"{file}: Snakemake cannot read its resources: {_one_line(error)}. Mend it there.") from None
    site = Site.from_defaults({name: resource.raw for name, resource in defaults.items()})
    for key in ("most_memory_gb", "longest_minutes"):
        if getattr(site, key) < 1:
            raise UserError(f"default-resources.{key}: 0 is not accepted. Give a number above 0 in {file}.")
    profile = Profile(file, settings, defaults, of_rules, site)
    for key in ("retries", "slurm-init-seconds-before-status-checks"):
        profile.number(key, 0)
    return profile


def _settings(file: Path) -> Mapping[str, Any]:
    """A profile's lines, its resources of the form that Snakemake takes."""
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{file} is no YAML: {error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no UTF-8 text: {error}. Save it as UTF-8.") from None
    if not isinstance(settings, dict):
        raise UserError(
            f"{file} is {'empty' if settings is None else 'no mapping'}. Accepted: lines of the form `key: value`."
        )
    for key, (form, _) in RESOURCES.items():
        if wrong := _malformed(key, settings.get(key)):
            raise UserError(
                f"{key}: {wrong[0]!r} is not accepted. Accepted: lines of the form `{form}` below it. Mend it in {file}."
            )
    return settings


def _of_rules(assignments: list[str]) -> dict[str, Resources]:
    """Resources by rule, from ``rule:resource=value``."""
    by_rule: dict[str, list[str]] = {}
    for rule, _, assigned in (item.partition(":") for item in assignments):
        by_rule.setdefault(rule, []).append(assigned)
    return {rule: Resources.parse(own, allow_expressions=True) for rule, own in by_rule.items()}


def _malformed(key: str, value: Any) -> list[Any]:
    """Parts of a setting of resources that Snakemake does not take; a list of assignments is as good as a mapping."""
    if isinstance(value, list):
        return [item for item in value if not RESOURCES[key][1].fullmatch(str(item))]
    if not isinstance(value, dict):
        return [] if value is None else [value]
    return [item for item in value.values() if key == "set-resources" and not isinstance(item, dict)]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _least_version(path: Path) -> int:
    found = PROFILE_NAME.fullmatch(path.name)
    return int(found[1] or 0) if found else 0
