"""What is wrong with a configuration whose names all exist: methods, then experiments, then what the rest is to each other."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.config.dependencies import check_sources, check_token_rewards
from trulysafe.config.order import round_problems
from trulysafe.config.resolved import method_of, training_of, training_of_method
from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.tables.training import Training
from trulysafe.config.wording import explain
from trulysafe.methods.method import ONE_PROCESS, REWARD_JUDGE
from trulysafe.tools.config_reference.options import fit_keys


def method_problems(config: Configuration) -> Iterator[str]:
    """Options of methods that are not accepted."""
    for name in config.methods:
        try:
            method_of(config, name)
        except UserError as error:
            yield f"methods.{name}.{error}"
        try:
            training_of_method(config, name)
        except ValidationError as error:
            # what keys are to each other is known with the experiment's own
            of_keys = [item for item in error.errors() if item["loc"]]
            yield from (explain(item, Training, f"methods.{name}.training") for item in of_keys)


def experiment_problems(config: Configuration) -> Iterator[str]:
    """Training options of experiments that are not accepted, in a configuration whose methods are."""
    for name, experiment in config.experiments.items():
        if (experiment.mix is None) != (experiment.method is None):
            yield f"experiments.{name}: mix and method belong together; give both, or neither to evaluate the model itself."
        try:
            training_of(config, experiment)
        except ValidationError as error:
            yield from (explain(item, Training, f"experiments.{name}.training") for item in error.errors())


def problems_between(config: Configuration) -> Iterator[UserError | str]:
    """What contradicts itself where methods and experiments are right in themselves."""
    yield from round_problems(config)
    for name in config.methods:
        yield from _reward_and_judge_problems(config, name)
        yield from check_sources(config, name)
    for name in config.experiments:
        yield from _engine_problems(config, name)
    yield from check_token_rewards(config)
    yield from _fit_problems(config)
    yield from _drift_problems(config)
    yield from _report_problems(config)


def _reward_and_judge_problems(config: Configuration, name: str) -> Iterator[UserError | str]:
    method = method_of(config, name)
    if method.needs_reward and config.methods[name].reward is None:
        yield f"methods.{name}.reward: missing. Its confidence, mask or online pairs read a hybrid reward; accepted: {', '.join(config.rewards) or '(none is defined)'}."
    if method.online.judge not in (REWARD_JUDGE, *config.judges):
        do = "Define it under judges, or correct the name."
        yield not_accepted(f"methods.{name}.online.judge", method.online.judge, [REWARD_JUDGE, *config.judges], do=do)


def _engine_problems(config: Configuration, name: str) -> Iterator[str]:
    """What an experiment's engine cannot do; ``name`` is its stanza."""
    experiment = config.experiments[name]
    if experiment.method is None:
        return
    method, training = method_of(config, experiment.method), training_of(config, experiment)
    if method.online.samples and training.engine != "single":
        yield (
            f"experiments.{name}: training.engine is {training.engine!r}, but pairs that the policy samples (methods.{experiment.method}.online) "
            "need the engine single. Set experiments.<name>.training: {engine: single, processes: 1}."
        )
    if method.loss in ONE_PROCESS and training.processes > 1:
        yield (
            f"experiments.{name}: training.processes is {training.processes}, but the loss {method.loss!r} sorts the micro-batch and needs all of it in one. "
            "Set experiments.<name>.training: {processes: 1}."
        )


def _fit_problems(config: Configuration) -> Iterator[UserError]:
    """Options of fits that the function which fits does not take."""
    ablations = config.report.reward_ablations
    fits = {f"rewards.{name}.fit": (reward.fit, "rewards") for name, reward in config.rewards.items()}
    fits |= {f"token_rewards.{name}.fit": (it.fit, "token_rewards") for name, it in config.token_rewards.items()}
    fits |= {f"report.reward_ablations.{name}.fit": (item.fit or {}, "rewards") for name, item in ablations.items()}
    for where, (fit, table) in fits.items():
        accepted = fit_keys(table) if fit else []
        yield from (not_accepted(f"{where}.{key}", key, accepted) for key in fit if key not in accepted)


def _drift_problems(config: Configuration) -> Iterator[str]:
    drift = config.drift
    if drift is None:
        return
    model = config.pools[drift.pool].model
    for name in drift.experiments:
        experiment = config.experiments[name]
        if experiment.method is None or experiment.model != model:
            yield f"drift.experiments: {name!r} is not followed. Accepted: experiments that train a policy of the pool's model {model!r}."
    judge = config.benchmarks[drift.benchmark].judges[0]
    if config.judges[judge].datasets:
        yield (
            f"drift.benchmark: the first judge of {drift.benchmark!r}, {judge!r}, is fitted. "
            "Name a benchmark whose first judge is not fitted, such as one of kind refusal_phrases."
        )


def _report_problems(config: Configuration) -> Iterator[str]:
    if not any(benchmark.purpose == "test" for benchmark in config.benchmarks.values()):
        yield "benchmarks: none has the purpose 'test', so there would be nothing to report. Add one."
    shown = config.report.kept_tokens
    if shown and method_of(config, shown.method).mask.rule == "none":
        yield f"report.kept_tokens.method: {shown.method!r} has no mask. Name a method with mask: {{rule: ...}}."
