"""From the raw mapping to a checked configuration: types, references between tables, options of methods."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from trulysafe.config.dependencies import check_sources, check_token_rewards
from trulysafe.config.selection import of_groups, without_removed
from trulysafe.config.tables import Configuration, Experiment, PolicyOf, Table, Training
from trulysafe.errors import UserError, not_accepted
from trulysafe.methods import ONE_PROCESS, REWARD_JUDGE, Method

_EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+")


def load(raw: Mapping[str, Any]) -> Configuration:
    """Check a configuration completely, before anything is run.

    Raises:
        UserError: lists every wrong key with its path, what is accepted and what to do.
    """
    try:
        config = Configuration.model_validate(without_removed(_numbers(dict(raw))))
    except ValidationError as error:
        raise UserError(
            "The configuration is not accepted:\n" + "\n".join(_explain(item) for item in error.errors())
        ) from None
    problems = [str(problem) for problem in _problems(config)]
    if problems:
        raise UserError("The configuration is not accepted:\n" + "\n".join(f"- {problem}" for problem in problems))
    return of_groups(config)


def method_of(config: Configuration, name: str) -> Method:
    """The method behind a stanza of ``methods``; the kind of its token rewards is that of their source."""
    table = config.methods[name]
    source = config.token_rewards.get(table.token_rewards or "")
    options = {
        "loss": table.loss,
        "confidence": table.confidence,
        "mask": {"token_rewards": source.kind, **table.mask} if source else table.mask,
        "online": table.online,
        "reward_scope": table.reward_scope,
    }
    return Method.from_mapping(options)


def training_of(config: Configuration, experiment: Experiment) -> Training:
    """Training options of an experiment: the shared ones, overridden by its method's, overridden by its own."""
    merged = config.training.model_dump(exclude_unset=True)
    if experiment.method is not None:
        method = config.methods[experiment.method]
        merged |= method.training
        if method.beta is not None:
            merged["beta"] = method.beta
    return Training.model_validate(merged | experiment.training)


def _numbers(value: Any) -> Any:
    """Read ``1e-6`` as a number everywhere, also in free options: YAML 1.1 takes it for a text, as it lacks a point."""
    if isinstance(value, Mapping):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _explain(item: Mapping[str, Any], table: type[Table] = Configuration) -> str:
    """One line about what pydantic found wrong in ``table``."""
    where = ".".join(str(part) for part in _keys_of(item["loc"])) or "(top level)"
    if item["type"] == "extra_forbidden":
        return f"- {where}: unknown key.{_listed(str(item['loc'][-1]), _keys_beside(table, item['loc']))} config/README.md explains them."
    if item["type"] == "missing":
        return f"- {where}: missing. Add the key; config/README.md says what it holds."
    if item["type"] == "string_pattern_mismatch":
        return (
            f"- {where}: the name {item['input']!r} is not accepted. Accepted: letters, digits, '_' and '.', "
            "beginning with a letter or digit (names are parts of paths)."
        )
    found = "" if isinstance(item.get("input"), dict) else f" Found {item.get('input')!r}."
    return f"- {where}: {item['msg']}.{found}"


def _keys_of(location: tuple[Any, ...]) -> list[Any]:
    """The keys in pydantic's path, without the kind of model and the types by which it chose the table."""
    kinds = {2} if location and location[0] in ("models", "llms") else set()
    return [part for place, part in enumerate(location) if place not in kinds and "[" not in str(part)]


def _listed(key: str, accepted: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, accepted, n=1)
    return f"{f' Did you mean {near[0]!r}?' if near else ''} Accepted: {', '.join(accepted)}."


def _keys_beside(start: type[Table], location: tuple[Any, ...]) -> list[str]:
    """Keys that are accepted where pydantic found one that is not, by the path from ``start`` to it."""
    annotation: Any = start
    for part in location[:-1]:
        if get_origin(annotation) is dict:  # names of components
            annotation = get_args(annotation)[1]
            continue
        tables = _tables_in(annotation)
        fields = [table.model_fields[part] for table in tables if part in table.model_fields]
        tagged = [
            table
            for table in tables
            if any(part in get_args(field.annotation) for field in table.model_fields.values())
        ]
        annotation = fields[0].annotation if fields else (tagged or [annotation])[0]
    return sorted({key for table in _tables_in(annotation) for key in table.model_fields})


def _tables_in(annotation: Any) -> list[type[Table]]:
    """The tables that an annotation names, alone or as alternatives."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return [annotation]
    return [table for member in get_args(annotation) for table in _tables_in(member)]


def _problems(config: Configuration) -> Iterator[UserError | str]:
    from trulysafe.config.rounds import round_problems

    yield from _references(config)
    yield from _check_labellers(config)
    yield from round_problems(config)
    for name, method in config.methods.items():
        yield from _check_method(config, name, method.training)
    for name, experiment in config.experiments.items():
        if (experiment.mix is None) != (experiment.method is None):
            yield f"experiments.{name}: mix and method belong together; give both, or neither to evaluate the model itself."
        elif experiment.method in config.methods or experiment.method is None:
            try:
                training = training_of(config, experiment)
            except ValidationError as error:
                yield from (f"experiments.{name}.training: {_explain(item, Training)[2:]}" for item in error.errors())
            else:
                yield from _engine_problems(config, name, training)
    for name, mix in config.mixes.items():
        if mix.rule == "quota" and not mix.quotas:
            yield f"mixes.{name}.quotas: missing. The rule 'quota' needs pairs per class, such as {{EHD: 50, IHD: 15, MHD: 5}}."
        if mix.rule == "ratio" and not mix.ratios:
            yield f"mixes.{name}.ratios: missing. The rule 'ratio' needs pairs per general pair by class, such as {{IHD: 0.01}}."
        if mix.rule == "random" and mix.total is None:
            yield f"mixes.{name}.total: missing. The rule 'random' needs the number of harmful pairs."
    for name, pairs in config.pairs.items():
        needed = ("pool", "reward") if pairs.source == "rerank" else ("datasets",)
        yield from (
            f"pairs.{name}.{key}: missing. The source '{pairs.source}' needs it."
            for key in needed
            if not getattr(pairs, key)
        )
    yield from check_token_rewards(config)
    yield from _drift_problems(config)
    yield from _check_report(config)


def _engine_problems(config: Configuration, name: str, training: Training) -> Iterator[str]:
    """What an experiment's engine cannot do; ``name`` is its stanza."""
    table = config.methods.get(str(config.experiments[name].method))
    if table is not None and table.online.get("samples") and training.engine != "single":
        yield (
            f"experiments.{name}: training.engine is {training.engine!r}, but pairs that the policy samples (methods.{config.experiments[name].method}.online) "
            "need the engine single. Set experiments.<name>.training: {engine: single, processes: 1}."
        )
    if table is not None and table.loss in ONE_PROCESS and training.processes > 1:
        yield (
            f"experiments.{name}: training.processes is {training.processes}, but the loss {table.loss!r} sorts the micro-batch and needs all of it in one. "
            "Set experiments.<name>.training: {processes: 1}."
        )


def _check_report(config: Configuration) -> Iterator[str]:
    if not any(benchmark.purpose == "test" for benchmark in config.benchmarks.values()):
        yield "benchmarks: none has the purpose 'test', so there would be nothing to report. Add one."
    shown = config.report.kept_tokens
    if shown and shown.method in config.methods and config.methods[shown.method].mask.get("rule", "none") == "none":
        yield f"report.kept_tokens.method: {shown.method!r} has no mask. Name a method with mask: {{rule: ...}}."


def _check_labellers(config: Configuration) -> Iterator[str]:
    for name, labeller in config.labellers.items():
        if labeller.kind == "llm" and labeller.llm is None:
            yield f"labellers.{name}.llm: missing. The kind 'llm' needs a language model, defined under llms."
        if labeller.kind != "llm" and labeller.llm is not None:
            yield f"labellers.{name}.llm: only the kind 'llm' asks a language model. Set kind: llm, or leave the key out."
        if labeller.kind == "classifier" and not labeller.datasets:
            yield f"labellers.{name}.datasets: missing. The kind 'classifier' is fitted on labelled prompts."


def _drift_problems(config: Configuration) -> Iterator[str]:
    drift = config.drift
    if drift is None or drift.pool not in config.pools or drift.benchmark not in config.benchmarks:
        return
    model = config.pools[drift.pool].model
    for name in drift.experiments:
        experiment = config.experiments.get(name)
        if experiment is not None and (experiment.method is None or experiment.model != model):
            yield f"drift.experiments: {name!r} is not followed. Accepted: experiments that train a policy of the pool's model {model!r}."
    judge = config.benchmarks[drift.benchmark].judges[0]
    if judge in config.judges and config.judges[judge].datasets:
        yield (
            f"drift.benchmark: the first judge of {drift.benchmark!r}, {judge!r}, is fitted. "
            "Name a benchmark whose first judge is not fitted, such as one of kind refusal_phrases."
        )


def _check_method(config: Configuration, name: str, training: Mapping[str, Any]) -> Iterator[UserError | str]:
    try:
        method = method_of(config, name)
    except UserError as error:
        yield f"methods.{name}.{error}"
        return
    if method.needs_reward and config.methods[name].reward is None:
        yield f"methods.{name}.reward: missing. Its confidence, mask or online pairs read a hybrid reward; accepted: {', '.join(config.rewards) or '(none is defined)'}."
    if method.online.judge not in (REWARD_JUDGE, *config.judges):
        do = "Define it under judges, or correct the name."
        yield not_accepted(f"methods.{name}.online.judge", method.online.judge, [REWARD_JUDGE, *config.judges], do=do)
    yield from check_sources(config, name, method)
    for key in training:
        if key not in Training.model_fields:
            yield not_accepted(f"methods.{name}.training.{key}", key, Training.model_fields)


def _references(config: Configuration) -> Iterator[UserError]:
    """Every name that one table takes from another."""
    for where, value, table in _used_names(config):
        accepted = getattr(config, table)
        if value not in accepted:
            yield not_accepted(where, value, accepted, do=f"Define it under {table}, or correct the name.")


def _used_names(config: Configuration) -> Iterator[tuple[str, str, str]]:
    singular = {
        "model": "models",
        "llm": "llms",
        "labeller": "labellers",
        "pool": "pools",
        "reward": "rewards",
        "mix": "mixes",
        "method": "methods",
        "token_rewards": "token_rewards",
        "experiment": "experiments",
        "gamma_of": "experiments",
    }
    plural = {"datasets": "datasets", "corpus": "datasets", "pairs": "pairs", "judges": "judges"}
    for table in (
        "models",
        "llms",
        "labellers",
        "pools",
        "rewards",
        "pairs",
        "mixes",
        "token_rewards",
        "methods",
        "experiments",
        "judges",
        "benchmarks",
    ):
        for name, component in getattr(config, table).items():
            for key in type(component).model_fields:
                value = getattr(component, key)
                if isinstance(value, PolicyOf):
                    yield f"{table}.{name}.{key}.experiment", value.experiment, "experiments"
                elif key in singular and value is not None:
                    yield f"{table}.{name}.{key}", value, singular[key]
                elif key in plural:
                    yield from ((f"{table}.{name}.{key}", item, plural[key]) for item in value)
    if config.drift is not None:
        yield from (("drift.experiments", name, "experiments") for name in config.drift.experiments)
        yield "drift.pool", config.drift.pool, "pools"
        yield "drift.benchmark", config.drift.benchmark, "benchmarks"
    yield from _names_in_report(config)


def _names_in_report(config: Configuration) -> Iterator[tuple[str, str, str]]:
    for name, contrast in config.report.contrasts.items():
        yield f"report.contrasts.{name}.a", contrast.a, "experiments"
        yield f"report.contrasts.{name}.b", contrast.b, "experiments"
    for name, ablation in config.report.ablations.items():
        yield f"report.ablations.{name}.arm", ablation.arm, "experiments"
        yield f"report.ablations.{name}.default", ablation.default, "experiments"
    for name, compared in config.report.reward_ablations.items():
        yield f"report.reward_ablations.{name}.reward", compared.reward or compared.default, "rewards"
        yield f"report.reward_ablations.{name}.default", compared.default, "rewards"
    if shown := config.report.kept_tokens:
        yield "report.kept_tokens.method", shown.method, "methods"
        yield "report.kept_tokens.pairs", shown.pairs, "pairs"
    for name, sweep in config.report.sweeps.items():
        yield from ((f"report.sweeps.{name}.points", point, "experiments") for point in sweep.points)
