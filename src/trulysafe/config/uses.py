"""Which stage reads which data sets, as which kind of table, and in which role."""

from collections.abc import Iterator
from typing import NamedTuple

from trulysafe.config.tables.configuration import Configuration

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
