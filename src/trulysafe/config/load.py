"""From the raw mapping to a checked configuration."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from trulysafe.common.errors import refusal
from trulysafe.common.options import explain
from trulysafe.config.problems import experiment_problems, problems_between, unknown_names
from trulysafe.config.resolved import with_sources
from trulysafe.config.selection import of_groups, without_removed
from trulysafe.config.tables.configuration import Configuration

HEADING = "The configuration is not accepted:"
CHECKS = (unknown_names, experiment_problems, problems_between)
"""In this order, since each relies on what those before it look at."""
_EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+")


def load(raw: Mapping[str, Any]) -> Configuration:
    """Check a configuration completely, before anything is run.

    The UserError lists wrong keys with their paths, what is accepted and what to do; names that are not there come
    before all that is read by name.
    """
    try:
        config = with_sources(Configuration.model_validate(without_removed(_numbers(dict(raw)))))
    except ValidationError as error:
        raise refusal(HEADING, map(explain, error.errors())) from None
    for check in CHECKS:
        if problems := list(check(config)):
            raise refusal(HEADING, problems)
    return of_groups(config)


def _numbers(value: Any) -> Any:
    """Read ``1e-6`` as a number everywhere, also in free options: YAML 1.1 takes it for a text, as it lacks a point."""
    if isinstance(value, Mapping):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value
