"""What the plan takes for granted; every value is printed with the plan."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


def _of(value: float, meaning: str) -> float:
    return field(default=value, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Assumptions:
    """Values that a configuration does not know."""

    training_utilisation: float = _of(
        0.35, "share of the peak rate that training reaches, exchange between processes included"
    )
    forward_utilisation: float = _of(0.45, "share of the peak rate that forward passes reach")
    bandwidth_share: float = _of(0.6, "share of the memory bandwidth that decoding reaches")
    layer_seconds: float = _of(0.0007, "seconds that one layer's kernels take to start, per decoding step")
    prompt_tokens: float = _of(60, "tokens of a prompt")
    response_fill: float = _of(0.6, "share of the token limit that a response fills")
    pair_fill: float = _of(0.5, "share of max_length that a side of a pair fills, padding counted")
    unknown_rows: float = _of(1000, "rows of a data set that is not at hand and has no option `rows`")
    load_bytes_per_second: float = _of(1e9, "bytes of weights read per second")
    start_seconds: float = _of(45, "start of a job that loads a model (imports, two Snakemake starts)")
    cpu_job_seconds: float = _of(60, "a job without a model, from start to end")
    memory_share: float = _of(
        0.8, "share of the GPU memory that advised processes fill, at most; the estimate errs on the low side"
    )
    lora_share: float = _of(0.02, "weights of an adapter, of the model's")
    bytes_per_token: float = _of(4, "bytes of stored text per token")

    @classmethod
    def on(cls, gpu: str) -> Assumptions:
        """Those for a GPU type; without one, jobs run on this machine and start faster."""
        return cls(start_seconds=15, cpu_job_seconds=8) if gpu == "cpu" else cls()

    def lines(self) -> list[tuple[str, float, str]]:
        """Name, value and meaning of every assumption."""
        return [(item.name, getattr(self, item.name), item.metadata["meaning"]) for item in fields(self)]
