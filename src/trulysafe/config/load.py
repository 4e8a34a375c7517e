"""From the raw mapping to a checked configuration, less what overlays take away and groups leave out."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from trulysafe.common.errors import not_accepted, refusal
from trulysafe.common.option_errors import explain
from trulysafe.config.order import all_before
from trulysafe.config.problems import experiment_problems, problems_between, unknown_names
from trulysafe.config.resolved import with_sources
from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.tables.evaluation import Report

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


def without_removed(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out components that are null: so an overlay takes one of the configuration below it away."""
    kept = {}
    for key, value in raw.items():
        if key == "report" and isinstance(value, Mapping):
            kept[key] = without_removed(value)
        elif isinstance(value, Mapping) and _holds_components(value):
            kept[key] = {name: component for name, component in value.items() if component is not None}
        else:
            kept[key] = value
    return kept


def _holds_components(value: Mapping[str, Any]) -> bool:
    """Whether a mapping is a table of components by name: all its values are mappings, or null."""
    return all(component is None or isinstance(component, Mapping) for component in value.values())


def of_groups(config: Configuration) -> Configuration:
    """The part of a configuration that ``groups`` asks for; all of it where that is empty.

    Kept are experiments of those groups, models as they are, what either waits for, and defaults that ablations compare
    with; then what they are made of, and what of the report speaks about them.
    """
    if not config.groups:
        return config
    known = sorted({item.group for item in config.experiments.values()})
    for group in config.groups:
        if group not in known:
            raise not_accepted("groups", group, known)
    parts = _parts(config, _asked(config))
    return config.model_copy(update={**parts, "report": _report(config.report, parts)})


def _asked(config: Configuration) -> set[str]:
    """Experiments of the groups, models as they are, what ablations compare them with, and what all these wait for."""
    asked = {name for name, item in config.experiments.items() if item.group in config.groups or item.method is None}
    asked |= {item.default for item in config.report.ablations.values() if item.arm in asked}
    return asked | {name for experiment in asked for name in all_before(config, experiment)}


def _parts(config: Configuration, asked: set[str]) -> dict[str, Any]:
    """The components that experiments are made of, by table."""
    experiments, shown = _only(config.experiments, asked), config.report.kept_tokens
    methods = _only(config.methods, [shown.method if shown else None, *(item.method for item in experiments.values())])
    mixes = _only(config.mixes, (item.mix for item in experiments.values()))
    tables = [name for item in mixes.values() for name in item.pairs]
    pairs = _only(config.pairs, [shown.pairs if shown else None, *tables])
    followed = [name for name in config.drift.experiments if name in asked] if config.drift else []
    drift = config.drift.model_copy(update={"experiments": followed}) if config.drift and followed else None
    return {
        "experiments": experiments,
        "methods": methods,
        "mixes": mixes,
        "pairs": pairs,
        "rewards": _only(config.rewards, [item.reward for table in (methods, pairs) for item in table.values()]),
        "token_rewards": _only(config.token_rewards, (item.token_rewards for item in methods.values())),
        "pools": _only(config.pools, [drift.pool if drift else None, *(item.pool for item in pairs.values())]),
        "drift": drift,
    }


def _report(report: Report, parts: Mapping[str, Any]) -> Report:
    """What of the report speaks about these parts alone."""
    arms, rewards = {*parts["experiments"]}, {*parts["rewards"]}
    return report.model_copy(
        update={
            "contrasts": {k: v for k, v in report.contrasts.items() if {v.a, v.b} <= arms},
            "calibration": {k: v for k, v in report.calibration.items() if v.experiment in arms},
            "sweeps": {k: v for k, v in report.sweeps.items() if set(v.points) <= arms},
            "ablations": {k: v for k, v in report.ablations.items() if {v.arm, v.default} <= arms},
            "reward_ablations": {
                k: v for k, v in report.reward_ablations.items() if {v.reward or v.default, v.default} <= rewards
            },
        }
    )


def _only(table: Mapping[str, Any], names: Iterable[str | None]) -> dict[str, Any]:
    wanted = set(names)
    return {name: component for name, component in table.items() if name in wanted}
