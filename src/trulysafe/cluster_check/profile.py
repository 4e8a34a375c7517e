"""What of a Snakemake profile the cluster has to agree with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trulysafe.errors import UserError
from trulysafe.resources import Site

PROFILE_NAME = re.compile(r"(?:profile|config)(?:\.v(\d+)\+)?\.yaml")


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


def _least_version(path: Path) -> int:
    found = PROFILE_NAME.fullmatch(path.name)
    return int(found[1] or 0) if found else 0
