"""Which stage reads which data sets, as which kind of table, and in which role."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trulysafe.config.tables.configuration import Configuration


@dataclass(frozen=True)
class Use:
    """What one component reads: the key that names the data sets, their names, the kind of table (``prompts``,
    ``responses`` or ``pairs``) that the stage needs, and the role whose prompts it sees."""

    key: str
    datasets: list[str]
    kind: str
    role: str


def uses(config: Configuration) -> Iterator[Use]:
    """Every place of a configuration that names data sets."""
    corpora = {name: model.corpus for name, model in config.models.items() if model.source in ("train", "finetune")}
    yield from (Use(f"models.{name}.corpus", corpus, "responses", "corpus") for name, corpus in corpora.items())
    annotated = [name for name, pairs in config.pairs.items() if pairs.source == "annotated"]
    stages: tuple[tuple[str, Iterable[str], str, str], ...] = (
        ("labellers", config.labellers, "prompts", "labeller"),
        ("pools", config.pools, "prompts", "pairs"),
        ("rewards", config.rewards, "pairs", "reward"),
        ("token_rewards", config.token_rewards, "pairs", "reward"),
        ("pairs", annotated, "pairs", "pairs"),
        ("judges", config.judges, "responses", "judge"),
        ("benchmarks", config.benchmarks, "prompts", "evaluation"),
    )
    for table, names, kind, role in stages:
        for name in names:
            yield Use(f"{table}.{name}.datasets", getattr(config, table)[name].datasets, kind, role)
    for name, benchmark in config.benchmarks.items():
        yield Use(f"benchmarks.{name}.shots_from", benchmark.shots_from, "prompts", "evaluation")
