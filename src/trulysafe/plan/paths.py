"""Where things lie, and what every part of the plan is made of."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from trulysafe.plan.plan import Plan

Item = TypeVar("Item")


def distinct(paths: Iterable[Item]) -> list[Item]:
    """Each path, or other item, once, in the order of first appearance."""
    return list(dict.fromkeys(paths))


class Part:
    """A part of the plan; it knows the others by their names, as in ``self.plan.models``."""

    def __init__(self, plan: "Plan") -> None:
        self.plan, self.config, self.results = plan, plan.config, plan.results
