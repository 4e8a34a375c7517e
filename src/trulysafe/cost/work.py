"""What a job is, and how much text and how many states the rows of a stage are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from trulysafe.config.plan import Plan
from trulysafe.config.tables import Configuration
from trulysafe.cost.assumptions import Assumptions
from trulysafe.cost.rows import Rows
from trulysafe.cost.sizes import Size, size_of

RESPONSE = 256
"""Token limit that responses of data sets are taken to have been written under."""


@dataclass(frozen=True)
class Job:
    """One job and its work; without a model it is a job for a CPU.

    Attributes:
        rule: Snakemake rule.
        model: size of the model that it loads.
        loads: how often a model is loaded.
        forward_tokens: tokens through forward passes, prompts of generations included.
        steps: decoding steps, one after another.
        sequences: sequences decoded side by side in a step.
        trained_tokens: tokens through training steps.
        flops_per_token: of training, in units of the number of weights (6 for all weights, 4 for an adapter, 2 more with checkpointing).
        trains: share of the weights that is trained.
        disk: bytes that stay.
    """

    rule: str
    model: Size | None = None
    loads: float = 1
    forward_tokens: float = 0
    steps: float = 0
    sequences: float = 0
    trained_tokens: float = 0
    flops_per_token: int = 6
    trains: float = 0
    disk: float = 0


class Work:
    """Lengths and sizes of one configuration.

    Args:
        config: the checked configuration.
        assumptions: what is not known of it.

    Raises:
        UserError: the size of a model is not known.
    """

    def __init__(self, config: Configuration, assumptions: Assumptions) -> None:
        self.config, self.plan, self.assumptions = config, Plan(config), assumptions
        self.rows = Rows(config, assumptions)
        self.size = cache(lambda name: size_of(config, name))

    def _labelling(self, rule: str, labeller: str | None, prompts: float, disk: float = 0) -> Job:
        """A job that labels prompts: a generation for each of them where a local language model is asked."""
        llm = self.plan.local_llm(labeller)
        if llm is None:
            return Job(rule, disk=disk)
        batches, length = math.ceil(prompts / llm.batch_size), self.assumptions.prompt_tokens
        return Job(
            rule, self.size(llm.model), forward_tokens=prompts * length, steps=batches * llm.max_new_tokens, sequences=llm.batch_size, disk=disk
        )  # fmt: skip

    def _response(self, limit: int) -> float:
        """Tokens of a prompt and its response."""
        return self.assumptions.prompt_tokens + self.assumptions.response_fill * limit

    def _side(self, name: str) -> float:
        return self.config.pairs[name].max_length * self.assumptions.pair_fill

    def _pair_tokens(self, name: str) -> float:
        return 2 * self.rows.pairs(name) * self._side(name)

    def _text(self, rows: float) -> float:
        return rows * self._response(RESPONSE) * self.assumptions.bytes_per_token


def state_bytes(size: Size) -> float:
    """Bytes of the states of all layers at one position, in float32."""
    return size.layers * size.width * 4
