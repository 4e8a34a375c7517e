"""The smallest configuration with some of its values changed, and what is said where it is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from trulysafe.common.errors import UserError
from trulysafe.config.load import load

SMALL = yaml.safe_load((Path(__file__).parents[1] / "workflow" / "small.yaml").read_text(encoding="utf-8"))


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The small configuration with values replaced by their dotted keys."""
    raw = copy.deepcopy(SMALL)
    for key, value in changes.items():
        *tables, last = key.split(".")
        place = raw
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = copy.deepcopy(value)  # a later key may change a part of it
    return raw


def refused(changes: dict[str, Any]) -> list[str]:
    """What is said of the small configuration with these values, line by line."""
    with pytest.raises(UserError) as caught:
        load(changed(changes))
    return [line.removeprefix("- ") for line in str(caught.value).splitlines()[1:]]
