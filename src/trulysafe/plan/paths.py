"""Where things lie, and what every part of the plan is made of."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from trulysafe.config.tables.configuration import Configuration

Item = TypeVar("Item")
Results = Callable[[str], str]
"""Path below the scenario's folder -> path of something that the scenario makes."""


def results_of(scenario: str) -> Results:
    """Paths of everything that a scenario makes."""
    return lambda path: f"results/{scenario}/{path}"


def distinct(paths: Iterable[Item]) -> list[Item]:
    """Each path, or other item, once, in the order of first appearance."""
    return list(dict.fromkeys(paths))


@dataclass(frozen=True)
class Part:
    """A part of the plan; it may name further parts that it needs."""

    config: Configuration
    results: Results
