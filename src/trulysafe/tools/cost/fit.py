"""Jobs that a GPU type cannot hold, and what to set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from trulysafe.config.launch import Launch
from trulysafe.tools.cost.assumptions import Assumptions
from trulysafe.tools.cost.estimate import Gpu
from trulysafe.tools.cost.work import Job, Trained
from trulysafe.train.memory import GIB


def too_large(jobs: Iterable[Job], gpu: Gpu, assumptions: Assumptions) -> list[str]:
    """Say which jobs hold more than a GPU has, by the estimate that refuses a training at its start.

    Returns:
        A sentence for each rule and model, with the job that holds the most.
    """
    count, largest = Counter[tuple[str, str]](), dict[tuple[str, str], Job]()
    for job in jobs:
        if job.model and job.memory.total > _available(job, gpu):
            key = (job.rule, job.model.name)
            count[key] += 1
            largest[key] = max(largest.get(key, job), job, key=lambda one: one.memory.total)
    return [_sentence(job, count[key], gpu, assumptions) for key, job in largest.items()]


def _available(job: Job, gpu: Gpu) -> float:
    """Bytes for each process: a GPU's, or its share of this machine's."""
    return gpu.memory / job.processes if gpu.one else gpu.memory


def _sentence(job: Job, jobs: int, gpu: Gpu, assumptions: Assumptions) -> str:
    assert job.model is not None
    where = "process" if gpu.one else "GPU"
    return (
        f"DOES NOT FIT: {job.rule} ({jobs} job{'s' * (jobs > 1)}) with {job.model.name} needs about {job.memory} on each {where}, and {gpu.name} has "
        f"{_available(job, gpu) / GIB:.1f} GiB. {_advice(job, gpu, assumptions)}"
    )


def _advice(job: Job, gpu: Gpu, assumptions: Assumptions) -> str:
    if job.trained is None or (job.trained.alone and job.rule != "train"):
        return "One process holds the whole model: plan with a GPU type that has more memory, or take a smaller model."
    launch = None if gpu.one else _spread(job.trained, gpu.memory * assumptions.memory_share)
    if launch is None:
        return (
            "Lower training.batch_size (and raise accumulation in step), switch on gradient_checkpointing, train with lora, or plan with a GPU type that "
            "has more memory."
        )
    held = job.trained.memory(launch).total / GIB
    return (
        f"Set training.engine to {launch.engine} and training.processes to {launch.processes} (then about {held:.1f} GiB), train with lora, or plan with "
        "a GPU type that has more memory."
    )


def _spread(trained: Trained, available: float) -> Launch | None:
    """The fewest processes of ZeRO-3 among which the training fits, on as many nodes as it has."""
    batch, nodes = int(trained.options["batch_size"]), trained.launch.nodes
    counts = [count for count in range(nodes, batch + 1, nodes) if batch % count == 0 and not trained.alone]
    launches = (trained.launch.model_copy(update={"engine": "zero3", "processes": count}) for count in counts)
    return next((launch for launch in launches if trained.memory(launch).total <= available), None)
