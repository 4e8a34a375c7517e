"""The configuration as the Snakefile sees it: one that names no models is a change to the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from trulysafe.errors import UserError

DEMO = Path("config") / "demo.yaml"


def raw_configuration(*paths: Path, demo: Path = DEMO) -> dict[str, Any]:
    """Read configuration files, each laid over the ones before, upon the demo where none names models.

    Raises:
        UserError: a file is missing or no mapping.
    """
    given: dict[str, Any] = {}
    for path in paths:
        given = _over(given, _mapping(path))
    return given if "models" in given else _over(_mapping(demo), given)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({error}). Give the path of a configuration.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: a mapping of keys is needed, found {type(value).__name__}.")
    return value


def _over(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _over(merged[key], value) if both else value
    return merged
