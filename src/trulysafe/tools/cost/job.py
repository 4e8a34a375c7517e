"""One job and the work in it: what goes through its model, what it holds in memory, what it keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from trulysafe.config.launch import Launch
from trulysafe.models.sizes import Size
from trulysafe.train.memory import Held, Memory, Shape, estimate


class Trained(NamedTuple):
    """What decides how much memory a training holds."""

    shape: Shape
    options: Mapping[str, Any]  # the configuration's ``training`` table
    launch: Launch = Launch()
    longest: int = 0  # tokens of the longest sequence; 0 leaves activations out
    alone: bool = False  # whether only one process can do it
    held: Held = Held()  # beside the model that is trained

    def memory(self, launch: Launch | None = None) -> Memory:
        """Of each device, on this or another launch."""
        return estimate(self.shape, self.options, launch or self.launch, self.longest, self.held)


@dataclass(frozen=True)
class Job:
    """One job and its work; without a model it is a job for a CPU."""

    rule: str = ""
    model: Size | None = None
    loads: float = 1  # how often a model is loaded
    forward_tokens: float = 0  # through forward passes, prompts of generations included
    steps: float = 0  # of decoding, one after another
    sequences: float = 0  # decoded side by side in a step
    engine: bool = False  # whether an engine decodes (batching.backend), which starts with each load
    trained_tokens: float = 0  # through training steps
    flops_per_token: int = 6  # of training, per weight: 6 for all weights, 4 for an adapter, 2 more with checkpointing
    trained: Trained | None = None  # the training that holds the most memory; without one the weights alone are held
    processes: int = 1  # one for each GPU that it asks for, over all nodes
    disk: float = 0  # bytes that stay
    needs: tuple[int, ...] = ()  # positions of the jobs that it waits for
    done: bool = False  # what it makes is there and up to date
    took: float | None = None  # seconds, where it is done and was timed

    @property
    def memory(self) -> Memory:
        """What it holds on each of its GPUs."""
        return self.trained.memory() if self.trained else Memory(weights=int(self.model.bytes) if self.model else 0)


def summed(parts: list[Job], shares: int = 1) -> Job:
    """Work of one model, one part after another; or an equal share of it."""
    added = ("forward_tokens", "trained_tokens", "steps", "disk")
    largest = max(parts, key=lambda part: part.memory.total)
    sums = {key: sum(getattr(part, key) for part in parts) / shares for key in added}
    return replace(largest, **sums, sequences=max(part.sequences for part in parts))
