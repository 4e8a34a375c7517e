"""Which policies act while they answer. How they do is in modules that are loaded by their names for these alone: to
all others they are no part of the code that answers depend on."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import pandas as pd

_ACTING, _REFLECTION = "trulysafe.evaluate.acting", "trulysafe.evaluate.reflection"
MODULES = {"steer": _ACTING, "best_of": _ACTING, "retrieve": _REFLECTION}
"""What a policy of :meth:`trulysafe.plan.models.Models.of_job` may do, and the module that does it."""


def acts(policy: Mapping[str, Any]) -> bool:
    """Whether a policy steers, gives the best of several samples, or retrieves and reflects."""
    return bool(MODULES.keys() & policy.keys())


def modules_of(policies: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the modules of what policies do, each once."""
    return sorted({module for policy in policies for act, module in MODULES.items() if act in policy})


def acting(policy: Mapping[str, Any]) -> Any:
    """The module of what a policy that acts does."""
    (name,) = modules_of([policy])
    return import_module(name)


def noted(policies: Sequence[Mapping[str, Any]], answered: pd.DataFrame) -> dict[str, Any]:
    """What the manifest of answers says of passages and reflections; nothing where there are none."""
    return import_module(_REFLECTION).noted(answered) if _REFLECTION in modules_of(policies) else {}
