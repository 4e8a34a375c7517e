"""What a configuration's tables come to: the method behind a stanza, the training options of an experiment, and which
stage reads which data sets, as which kind of table, and in which role."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.tables.sources import FineTunedModel
from trulysafe.config.tables.training import Experiment, Training
from trulysafe.methods.method import Method

STAGES = {
    "labellers": ("prompts", "labeller"),
    "pools": ("prompts", "pairs"),
    "rewards": ("pairs", "reward"),
    "token_rewards": ("pairs", "reward"),
    "pairs": ("pairs", "pairs"),
    "judges": ("responses", "judge"),
    "benchmarks": ("prompts", "evaluation"),
}
"""Table of components -> kind of table that they read (``prompts``, ``responses`` or ``pairs``), and in which role."""


def may_evaluate(config: Configuration, name: str) -> bool:
    """Whether evaluation may see any prompt of a data set."""
    role = config.datasets[name].role
    shares = config.split.shares if role == "split" else role
    return role == "evaluation" if isinstance(shares, str) else shares.get("evaluation", 0) > 0


def kinds_behind(config: Configuration, names: Iterable[str]) -> set[str]:
    """Kinds of the data sets that are read behind data sets: their own, or those of what synthesised ones are made
    of."""
    read = (item for name in names for item in config.datasets[name].datasets or [name])
    return {config.datasets[name].kind for name in read}


def with_seeds(config: Configuration, names: Iterable[str]) -> list[str]:
    """Data sets, each synthesised one followed by those that it is made of."""
    return [known for name in names for known in (name, *config.datasets[name].datasets)]


def method_of(config: Configuration, name: str) -> Method:
    """The method behind a stanza of ``methods``, without where its rewards come from."""
    table = config.methods[name]
    return Method(**{key: getattr(table, key) for key in Method.model_fields})


def with_sources(config: Configuration) -> Configuration:
    """The configuration, with the kind of each mask's token rewards taken from the source that its method names."""
    found = dict(config.methods)
    for name, table in config.methods.items():
        source = config.token_rewards.get(table.token_rewards or "")
        if source and table.mask.reads_token_rewards and "token_rewards" not in table.mask.model_fields_set:
            mask = table.mask.model_copy(update={"token_rewards": source.kind})
            found[name] = table.model_copy(update={"mask": mask})
    return config.model_copy(update={"methods": found})


def training_of(config: Configuration, experiment: Experiment) -> Training:
    """Training options of an experiment: the shared ones, overridden by its method's, overridden by its own;
    ValidationError where an option is not accepted."""
    given = config.training.model_dump(exclude_unset=True)
    if experiment.method is not None:
        method = config.methods[experiment.method]
        given |= method.training | ({} if method.beta is None else {"beta": method.beta})
    return Training.model_validate(given | experiment.training)


def finetuned(config: Configuration) -> dict[str, FineTunedModel]:
    """Models that a rule fine-tunes."""
    return {name: model for name, model in config.models.items() if isinstance(model, FineTunedModel)}


def given_model(config: Configuration, name: str) -> Any:
    """Stanza of a model; of a fine-tuned one that of the model which its fine-tuning started from."""
    below = finetuned(config)
    return given_model(config, below[name].model) if name in below else config.models[name]


class Use(NamedTuple):
    """What one component reads: the key that names the data sets, their names, the kind of table, and the role."""

    key: str
    datasets: list[str]
    kind: str
    role: str


def uses(config: Configuration) -> Iterator[Use]:
    """Every place of a configuration that names data sets."""
    for name, model in config.models.items():
        if model.source in ("train", "finetune"):
            yield Use(f"models.{name}.corpus", model.corpus, "responses", "corpus")
    for table, (kind, role) in STAGES.items():
        for name, component in getattr(config, table).items():
            if table != "pairs" or component.source == "annotated":
                yield Use(f"{table}.{name}.datasets", component.datasets, kind, role)
    for name, benchmark in config.benchmarks.items():
        yield Use(f"benchmarks.{name}.shots_from", benchmark.shots_from, "prompts", "evaluation")
    for name, experiment in config.experiments.items():
        for key, dataset, _ in experiment.steer.names() if experiment.steer else ():
            pairs = config.datasets[dataset].options.table_kind == "pairs"  # their prompts are read
            yield Use(f"experiments.{name}.steer.{key}", [dataset], "pairs" if pairs else "prompts", "pairs")
        for dataset in experiment.retrieve.corpus if experiment.retrieve else ():  # of any kind
            kind = config.datasets[dataset].options.table_kind
            yield Use(f"experiments.{name}.retrieve.corpus", [dataset], kind, "corpus")
    if config.report.people:
        yield Use("report.people.datasets", config.report.people.datasets, "responses", "judge")
