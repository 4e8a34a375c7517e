"""A Snakemake profile as Snakemake reads it, and the site block in it (:class:`trulysafe.plan.resources.Site`)."""

import builtins
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from snakemake.profiles import ProfileConfigFileParser
from snakemake.resources import Resource, Resources

from trulysafe.common.errors import UserError
from trulysafe.plan.resources import Site

FIRST_QUESTION = "slurm-init-seconds-before-status-checks"


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
