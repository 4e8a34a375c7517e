"""Where things lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Results = Callable[[str], str]
"""Path below the scenario's folder -> path of something that the scenario makes."""


def results_of(scenario: str) -> Results:
    """Paths of everything that a scenario makes."""
    return lambda path: f"results/{scenario}/{path}"


def distinct(paths: Iterable[Item]) -> list[Item]:
    """Each path, or other item, once, in the order of first appearance."""
    return list(dict.fromkeys(paths))
