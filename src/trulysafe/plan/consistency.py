"""Checks of what the parts of a configuration are to each other: tables and roles of datasets, models of rewards, seeds of arms.

Each of these would otherwise end a job in the middle of a run or, where shapes happen to agree, not be noticed at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from trulysafe.common.errors import UserError
from trulysafe.config.order import seeds
from trulysafe.config.resolved import method_of
from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.tables.sources import Dataset
from trulysafe.config.uses import uses


def consistency_problems(config: Configuration) -> Iterator[str]:
    """What contradicts itself in a configuration whose names all exist: one text per problem."""
    for use in uses(config):
        for name in use.datasets:
            yield from _use_problems(f"{use.key}: {name}", config.datasets[name], use.kind, use.role)
    yield from _reward_problems(config)
    yield from _refit_problems(config)
    yield from _comparison_problems(config)
    yield from _seed_problems(config)
    yield from _mix_problems(config)


def _use_problems(where: str, dataset: Dataset, kind: str, role: str) -> Iterator[str]:
    found = dataset.options.table_kind
    if found != kind:
        hint = f" Name {kind} here, or map the columns of {kind}." if dataset.kind != "demo" else f" Name {kind} here."
        yield f"{where} holds {found}, {kind} are needed.{hint}"
    given = dataset.role
    unseen = given == "evaluation" if role == "corpus" else given not in (role, "split")
    if isinstance(given, str) and unseen:
        yield f"{where} has the role {given!r}, this stage sees only {'other roles' if role == 'corpus' else repr(role)}. Change the dataset's role, or name another."


def _reward_problems(config: Configuration) -> Iterator[str]:
    """A reward read on the states of another model gives numbers without meaning, and no error where the shapes agree."""
    for name, pairs in config.pairs.items():
        if pairs.pool and pairs.reward:
            user = f"pool {pairs.pool!r}"
            yield from _mismatch(config, f"pairs.{name}.reward", pairs.reward, user, config.pools[pairs.pool].model)
    for name, experiment in config.experiments.items():
        reward = config.methods[experiment.method].reward if experiment.method else None
        if experiment.method and reward and method_of(config, experiment.method).needs_reward:
            where = f"experiments.{name}.method ({experiment.method})"
            yield from _mismatch(config, where, reward, "experiment", experiment.model)
    shown = config.report.kept_tokens
    if shown is not None:
        if method_of(config, shown.method).mask.rule == "batch_mean":
            yield (
                f"report.kept_tokens.method: {shown.method!r} masks by 'batch_mean', whose baseline is another one in each micro-batch, so single "
                "responses have no mask. Name a method with the rule hysteresis or threshold."
            )
        method, model = config.methods[shown.method], config.pairs[shown.pairs].model
        where, user = f"report.kept_tokens.method ({shown.method})", f"table of pairs {shown.pairs!r}"
        if method.token_rewards:
            yield from _mismatch(config, where, method.token_rewards, user, model, "token_rewards")
        elif method.reward:
            yield from _mismatch(config, where, method.reward, user, model)


def _refit_problems(config: Configuration) -> Iterator[str]:
    """An online reward refits its calibration on the pairs that its first fit held out."""
    for name, table in config.methods.items():
        confidence = method_of(config, name).confidence
        refits = confidence.kind == "label" and confidence.online and confidence.calibrate_every
        if refits and table.reward and config.rewards[table.reward].fit.validation_share == 0:
            yield (
                f"methods.{name}.confidence.calibrate_every: {refits} refits the calibration of {table.reward!r} on held-out pairs, and "
                f"rewards.{table.reward}.fit.validation_share is 0. Set calibrate_every to 0, or hold pairs out."
            )


def _mismatch(
    config: Configuration, where: str, reward: str, user: str, model: str, table: str = "rewards"
) -> Iterator[str]:
    """Say so where a reward, or a source of token rewards, is of another model than what it is read on."""
    fitted_on = getattr(config, table)[reward].model
    if fitted_on != model:
        yield (
            f"{where}: {table}.{reward} is of the model {fitted_on!r}, the {user} uses {model!r}. "
            f"Define one of model {model!r} under {table}, and name it here."
        )


def _comparison_problems(config: Configuration) -> Iterator[str]:
    """Rewards are compared on the pairs that were held out of both."""
    for name, compared in config.report.reward_ablations.items():
        if compared.reward is None:
            continue
        reward, default = config.rewards[compared.reward], config.rewards[compared.default]
        if sorted(reward.datasets) != sorted(default.datasets):
            yield (
                f"report.reward_ablations.{name}: {compared.reward!r} reads the datasets {', '.join(reward.datasets)}, {compared.default!r} "
                f"{', '.join(default.datasets)}, so no held-out pairs are common. Give both the same datasets."
            )


def _seed_problems(config: Configuration) -> Iterator[str]:
    """Answers are compared seed by seed, unless one side has a single seed."""
    report = config.report
    compared = {f"report.contrasts.{name}": (item.a, item.b) for name, item in report.contrasts.items()}
    compared |= {f"report.ablations.{name}": (item.arm, item.default) for name, item in report.ablations.items()}
    for where, names in compared.items():
        first, second = (config.experiments[name] for name in names)
        if min(first.seeds, second.seeds) > 1 and not set(seeds(first)) & set(seeds(second)):
            yield (
                f"{where}: {names[0]!r} and {names[1]!r} have no seed in common (from {first.first_seed} and from {second.first_seed} on). "
                "Give both the same first_seed."
            )


def _mix_problems(config: Configuration) -> Iterator[str]:
    """Mixes that cannot be drawn: a rule that lacks what it needs, or more than all rows that the pairs can come from.

    What pair construction drops is known only when it has run.
    """
    from trulysafe.pairs.mix import wanted_strata

    for name, mix in config.mixes.items():
        try:
            asked = sum(count for _, count, _ in wanted_strata(**mix.composition))
        except UserError as error:
            yield f"mixes.{name}: {str(error).removeprefix('mix, ')}"
            continue
        available = sum(_most_pairs(config, pairs) for pairs in mix.pairs)
        if asked > available:
            yield (
                f"mixes.{name}: {asked} pairs asked, at most {available:g} can come from {', '.join(mix.pairs)}. "
                "Ask for fewer, or raise `rows` of their datasets or pool."
            )


def _most_pairs(config: Configuration, name: str) -> float:
    """The number of pairs that a table can hold by the ``rows`` of what it is made of; infinite where those are not given."""
    pairs = config.pairs[name]
    pool = config.pools[pairs.pool] if pairs.pool else None
    rows = sum(_rows(config.datasets[dataset]) for dataset in (pool.datasets if pool else pairs.datasets))
    if pool is not None:
        each = pairs.per_prompt(pool.samples)
        rows = each and each * min(rows, pool.rows or math.inf)  # none of infinitely many is none
    return min(rows, pairs.rows or math.inf)


def _rows(dataset: Dataset) -> float:
    return dataset.options.rows or math.inf
