"""Trainings that wait for other trainings.

A placebo reads the logged gamma of an experiment, implicit token rewards its policy; later rounds start from a policy, or from pairs that it ranked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import Parameter, signature

from trulysafe.config.tables import Configuration
from trulysafe.errors import UserError, not_accepted
from trulysafe.methods import Method
from trulysafe.token_rm import fit_token_rm

FIT_OPTIONS = tuple(
    name
    for name, parameter in signature(fit_token_rm).parameters.items()
    if parameter.kind is Parameter.KEYWORD_ONLY and name != "seed"
)


def experiments_read(config: Configuration, method: str) -> list[str]:
    """Experiments that must have been trained before a method can train."""
    table = config.methods[method]
    source = config.token_rewards.get(table.token_rewards or "")
    return [name for name in (table.gamma_of, source.experiment if source else None) if name]


def check_sources(config: Configuration, name: str, method: Method) -> Iterator[str]:
    """What is wrong with the sources of a method's token rewards, rewards and gamma; ``name`` is its stanza."""
    table, where = config.methods[name], f"methods.{name}"
    source = config.token_rewards.get(table.token_rewards or "")
    wanted = source.kind if source else "hybrid"
    if method.mask.token_rewards != wanted and (source or not table.token_rewards):
        yield (
            f"{where}.mask.token_rewards: {method.mask.token_rewards!r} does not fit. Leave it out and name a source of kind "
            f"{method.mask.token_rewards!r} under {where}.token_rewards; accepted: {', '.join(config.token_rewards) or '(none is defined)'}."
        )
    if table.token_rewards and method.mask.rule == "none":
        yield f"{where}.token_rewards: the method has no mask that would read them. Add mask: {{rule: hysteresis}}, or remove the key."
    reward = config.rewards.get(table.reward or "")
    if reward and method.needs_reward and reward.pooling != "eos":
        yield (
            f"{where}.reward: {table.reward!r} pools {reward.pooling!r}, but training reads the state of the end-of-turn token. "
            "Name a reward with pooling: eos; others can rank pairs."
        )
    if table.gamma_of and method.confidence.kind != "fixed":
        yield f"{where}.gamma_of: only a constant gamma can be a placebo. Set confidence: {{kind: fixed}}, or remove the key."
    read = config.experiments.get(table.gamma_of or "")
    if read and (read.method is None or config.methods[read.method].confidence.get("kind") != "label"):
        yield f"{where}.gamma_of: {table.gamma_of!r} logs no gamma. Name an experiment whose method has confidence: {{kind: label}}."
    for experiment, item in config.experiments.items():
        if item.method == name and source and source.model != item.model:
            yield (
                f"experiments.{experiment}: its model is {item.model!r}, but its token rewards ({table.token_rewards}) are of "
                f"{source.model!r}. Define a source for each model."
            )
        if item.method == name and experiment in all_read(config, experiment):
            yield f"experiments.{experiment}: it waits for its own training, by way of {', '.join(experiments_read(config, name))}."


def check_token_rewards(config: Configuration) -> Iterator[UserError | str]:
    """What is wrong with the sources of token rewards themselves."""
    for name, source in config.token_rewards.items():
        where = f"token_rewards.{name}"
        if (source.kind == "implicit") != (source.experiment is not None):
            yield f"{where}.experiment: the kind 'implicit' needs one, and no other kind takes one."
        accepted = FIT_OPTIONS if source.kind == "token_rm" else ()
        yield from (not_accepted(f"{where}.fit.{key}", key, accepted) for key in source.fit if key not in accepted)
        read = config.experiments.get(source.experiment or "")
        if read and (read.method is None or read.model != source.model):
            yield f"{where}.experiment: {source.experiment!r} must be trained, from the model {source.model!r}."


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
        name: {other for other in experiments_read(config, item.method) if other in config.experiments}
        if item.method in config.methods
        else set()
        for name, item in config.experiments.items()
    }


def builds_on(config: Configuration) -> dict[str, set[str]]:
    """Experiment -> the experiments whose policies it builds on."""
    found: dict[str, set[str]] = {}
    for name, experiment in config.experiments.items():
        mix = config.mixes.get(str(experiment.mix))
        tables = [config.pairs[pairs] for pairs in (mix.pairs if mix else ()) if pairs in config.pairs]
        named = [experiment.start_from, *(table.states_from for table in tables)]
        found[name] = {policy.experiment for policy in named if policy and policy.experiment in config.experiments}
    return found
