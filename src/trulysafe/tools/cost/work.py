"""What a job is, and how much text and how many states the rows of a stage are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from trulysafe.config.launch import Launch
from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.tables.training import Training
from trulysafe.plan.plan import Plan
from trulysafe.tools.cost.assumptions import Assumptions
from trulysafe.tools.cost.rows import Rows
from trulysafe.tools.cost.sizes import Size, size_of
from trulysafe.train.memory import Memory, Shape, estimate

RESPONSE = 256
"""Token limit that responses of data sets are taken to have been written under."""


@dataclass(frozen=True)
class Trained:
    """What decides how much memory a training holds.

    Attributes:
        shape: of the model.
        options: the configuration's ``training`` table.
        launch: engine and processes.
        longest: tokens of the longest sequence; 0 leaves activations out.
        alone: whether only one process can do it.
    """

    shape: Shape
    options: Mapping[str, Any]
    launch: Launch = field(default_factory=Launch)
    longest: int = 0
    alone: bool = False

    def memory(self, launch: Launch | None = None) -> Memory:
        """Of each device, on this or another launch."""
        return estimate(self.shape, self.options, launch or self.launch, self.longest)


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
        trained: of its trainings the one that holds the most memory; none holds the model's weights alone.
        processes: one for each GPU that it asks for, over all nodes.
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
    trained: Trained | None = None
    processes: int = 1
    disk: float = 0

    @property
    def memory(self) -> Memory:
        """What it holds on each of its GPUs."""
        if self.trained is not None:
            return self.trained.memory()
        return Memory(weights=int(self.model.bytes)) if self.model else Memory()


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

    def _whole(self, size: Size) -> Trained:
        """A training of all weights in float32, in one process; its micro-batch is not known here."""
        shape = Shape(int(size.parameters), int(size.parameters), size.layers, size.width, "float32")
        return Trained(shape, Training().model_dump(), alone=True)

    def _labelling(self, rule: str, labeller: str | None, prompts: float, disk: float = 0) -> Job:
        """A job that labels prompts: a generation for each of them where a local language model is asked."""
        llm = self.plan.label.local_llm(labeller)
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
