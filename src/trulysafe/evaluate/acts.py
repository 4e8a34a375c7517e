"""Which policies act while they answer. How they do is in :mod:`trulysafe.evaluate.acting`, which is loaded by its name
for these alone: to all others it is no part of the code that their answers depend on."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import pandas as pd

ACTING, REFLECTION = "trulysafe.evaluate.acting", "trulysafe.evaluate.reflection"


def acts(policy: Mapping[str, Any]) -> bool:
    """Whether a policy of :meth:`trulysafe.plan.models.Models.of_job` steers, gives the best of several
    samples, or retrieves and reflects."""
    return bool({"steer", "best_of", "retrieve"} & policy.keys())


def acting() -> Any:
    """The module of what they do."""
    return import_module(ACTING)


def noted(policies: Sequence[Mapping[str, Any]], answered: pd.DataFrame) -> dict[str, Any]:
    """What the manifest of answers says of passages and reflections; nothing where there are none."""
    return import_module(REFLECTION).noted(answered) if any("retrieve" in policy for policy in policies) else {}
