"""Which policies act while they answer. How they do is in :mod:`trulysafe.evaluate.acting`, which is loaded by its name
for these alone: to all others it is no part of the code that their answers depend on."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

ACTING = "trulysafe.evaluate.acting"


def acts(policy: Mapping[str, Any]) -> bool:
    """Whether a policy of :meth:`trulysafe.plan.models.Models.of_job` steers, or gives the best of several samples."""
    return bool({"steer", "best_of"} & policy.keys())


def acting() -> Any:
    """The module of what they do."""
    return import_module(ACTING)
