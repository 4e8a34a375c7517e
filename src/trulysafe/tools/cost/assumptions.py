"""What the plan takes for granted; every value is printed with the plan."""

from dataclasses import dataclass
from typing import Annotated, Self, get_type_hints


@dataclass(frozen=True)
class Assumptions:
    """Values that a configuration does not know."""

    training_utilisation: Annotated[float, "share of the peak rate that training reaches, exchange included"] = 0.35
    forward_utilisation: Annotated[float, "share of the peak rate that forward passes reach"] = 0.45
    bandwidth_share: Annotated[float, "share of the memory bandwidth that decoding reaches"] = 0.6
    layer_seconds: Annotated[float, "seconds that one layer's kernels take to start, per decoding step"] = 0.0007
    prompt_tokens: Annotated[float, "tokens of a prompt"] = 60
    options: Annotated[float, "options of a document that a policy chooses among, each read with the document"] = 4
    response_fill: Annotated[float, "share of the token limit that a response fills"] = 0.6
    pair_fill: Annotated[float, "share of max_length that a side of a pair fills, padding counted"] = 0.5
    unknown_rows: Annotated[float, "rows of a data set that is not at hand and has no option `rows`"] = 1000
    load_bytes_per_second: Annotated[float, "bytes of weights read per second"] = 1e9
    start_seconds: Annotated[float, "start of a job that loads a model (imports, two Snakemake starts)"] = 45
    cpu_job_seconds: Annotated[float, "a job without a model, from start to end"] = 60
    memory_share: Annotated[float, "share of the GPU memory that advised processes fill; the estimate errs low"] = 0.8
    lora_share: Annotated[float, "weights of an adapter, of the model's"] = 0.02
    bytes_per_token: Annotated[float, "bytes of stored text per token"] = 4
    differ: Annotated[float, "share of the answers in which two arms of a contrast differ"] = 0.2
    family_prompts: Annotated[float, "prompts of a family (topic or template), which are resampled together"] = 10
    family_spread: Annotated[float, "standard deviation of a contrast's true difference between families"] = 0.1
    seed_spread: Annotated[float, "standard deviation of a contrast's true difference between seeds"] = 0.05

    @classmethod
    def on(cls, gpu: str) -> Self:
        """Those for a GPU type; without one, jobs run on this machine and start faster."""
        return cls(start_seconds=15, cpu_job_seconds=8) if gpu == "cpu" else cls()

    def lines(self) -> list[str]:
        """Name, value and meaning of every assumption."""
        meanings = get_type_hints(type(self), include_extras=True)
        return [f"  {name} = {value:g}: {meanings[name].__metadata__[0]}" for name, value in vars(self).items()]
