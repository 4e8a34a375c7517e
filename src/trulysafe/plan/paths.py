"""Where things lie."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from trulysafe.config.tables.configuration import Configuration

Item = TypeVar("Item")


class Paths:
    """Where things lie.

    Args:
        config: the checked configuration.
    """

    def __init__(self, config: Configuration) -> None:
        self.config = config

    def results(self, path: str) -> str:
        """Path of something that this scenario makes."""
        return f"results/{self.config.scenario}/{path}"

    def datasets(self, names: Iterable[str]) -> list[str]:
        """Tables of datasets."""
        return [self.results(f"data/{name}.parquet") for name in names]


def distinct(paths: Iterable[Item]) -> list[Item]:
    """Each path, or other item, once, in the order of first appearance."""
    return list(dict.fromkeys(paths))
