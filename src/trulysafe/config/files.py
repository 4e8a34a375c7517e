"""Configuration files as the Snakefile sees them: several are laid over each other, below them the demo if none has
models."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from trulysafe.common.errors import UserError

DEMO = Path("config") / "demo.yaml"


def raw_configuration(paths: Path | Sequence[Path], demo: Path = DEMO) -> dict[str, Any]:
    """Read one or several configuration files, each laid over the one before, and upon the demo where none names
    models; UserError where a file is missing or no mapping."""
    given = reduce(_over, [_mapping(path) for path in ([paths] if isinstance(paths, Path) else paths)])
    return given if "models" in given else _over(_mapping(demo), given)


def given_by_hand(entries: Iterable[str]) -> Iterator[dict[str, Any]]:
    """What ``--config key=value`` says, each value read as in a file (UserError: it is no YAML); Snakemake leaves what
    is nested as text."""
    for entry in entries:
        key, _, value = entry.partition("=")
        try:
            yield {key: yaml.safe_load(value)}
        except yaml.YAMLError as error:
            raise UserError(f"--config {key}: {value!r} is no YAML ({error}). Give it as in a configuration.") from None


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


if __name__ == "__main__":  # make report asks for the scenario
    try:
        print(raw_configuration([Path(path) for path in sys.argv[1:]] or [DEMO])["scenario"])
    except KeyError:
        sys.exit("scenario: missing. Add the key; config/README.md says what it holds.")
    except UserError as error:
        sys.exit(str(error))
