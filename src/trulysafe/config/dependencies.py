"""Trainings that wait for other trainings.

A placebo reads the logged gamma of an experiment, implicit token rewards its policy; later rounds start from a policy, or from pairs that it ranked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trulysafe.config.resolved import method_of
from trulysafe.config.tables.configuration import Configuration


def experiments_read(config: Configuration, method: str) -> list[str]:
    """Experiments that must have been trained before a method can train."""
    table = config.methods[method]
    source = config.token_rewards[table.token_rewards] if table.token_rewards else None
    return [name for name in (table.gamma_of, source.experiment if source else None) if name]


def check_sources(config: Configuration, name: str) -> Iterator[str]:
    """What is wrong with the sources of a method's token rewards, rewards and gamma; ``name`` is its stanza."""
    table, method, where = config.methods[name], method_of(config, name), f"methods.{name}"
    source = config.token_rewards[table.token_rewards] if table.token_rewards else None
    if method.mask.token_rewards != (source.kind if source else "hybrid"):
        yield (
            f"{where}.mask.token_rewards: {method.mask.token_rewards!r} does not fit. Leave it out and name a source of kind "
            f"{method.mask.token_rewards!r} under {where}.token_rewards; accepted: {', '.join(config.token_rewards) or '(none is defined)'}."
        )
    if source and method.mask.rule == "none":
        yield f"{where}.token_rewards: the method has no mask that would read them. Add mask: {{rule: hysteresis}}, or remove the key."
    pooling = config.rewards[table.reward].pooling if table.reward else "eos"
    if method.needs_reward and pooling != "eos":
        yield (
            f"{where}.reward: {table.reward!r} pools {pooling!r}, but training reads the state of the end-of-turn token. "
            "Name a reward with pooling: eos; others can rank pairs."
        )
    if table.gamma_of and method.confidence.kind != "fixed":
        yield f"{where}.gamma_of: only a constant gamma can be a placebo. Set confidence: {{kind: fixed}}, or remove the key."
    read = config.experiments[table.gamma_of].method if table.gamma_of else None
    if table.gamma_of and (read is None or method_of(config, read).confidence.kind != "label"):
        yield f"{where}.gamma_of: {table.gamma_of!r} logs no gamma. Name an experiment whose method has confidence: {{kind: label}}."
    for experiment, item in config.experiments.items():
        if item.method == name and source and source.model != item.model:
            yield (
                f"experiments.{experiment}: its model is {item.model!r}, but its token rewards ({table.token_rewards}) are of "
                f"{source.model!r}. Define a source for each model."
            )
        if item.method == name and experiment in all_read(config, experiment):
            yield f"experiments.{experiment}: it waits for its own training, by way of {', '.join(experiments_read(config, name))}."


def check_token_rewards(config: Configuration) -> Iterator[str]:
    """What is wrong with the policies that sources of token rewards read."""
    for name, source in config.token_rewards.items():
        read = config.experiments[source.experiment] if source.experiment else None
        if read and (read.method is None or read.model != source.model):
            yield f"token_rewards.{name}.experiment: {source.experiment!r} must be trained, from the model {source.model!r}."


def all_read(config: Configuration, experiment: str) -> set[str]:
    """Every experiment that one's method reads, directly or through others."""
    return reached(reads(config), experiment)


def all_before(config: Configuration, experiment: str) -> set[str]:
    """Every experiment that one waits for, directly or through others."""
    return reached(waits_for(config), experiment)


def reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Everything that one name leads to in a graph of name -> what it needs, directly or through others."""
    found, left = set[str](), [start]
    while left:
        further = graph.get(left.pop(), set()) - found
        found |= further
        left += further
    return found


def waits_for(config: Configuration) -> dict[str, set[str]]:
    """Experiment -> every experiment that must be trained before it."""
    needs, read = builds_on(config), reads(config)
    return {name: needs[name] | read[name] for name in needs}


def reads(config: Configuration) -> dict[str, set[str]]:
    """Experiment -> the experiments that its method reads."""
    return {
        name: set(experiments_read(config, item.method)) if item.method else set()
        for name, item in config.experiments.items()
    }


def builds_on(config: Configuration) -> dict[str, set[str]]:
    """Experiment -> the experiments whose policies it builds on."""
    found: dict[str, set[str]] = {}
    for name, experiment in config.experiments.items():
        tables = config.mixes[experiment.mix].pairs if experiment.mix else ()
        named = [experiment.start_from, *(config.pairs[table].states_from for table in tables)]
        found[name] = {policy.experiment for policy in named if policy}
    return found
