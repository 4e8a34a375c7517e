"""What a job asks a cluster for: GPUs, cores, memory and time, by kind of work and size of model.

The numbers are starting points for nodes with 80 GB GPUs and for jobs of under an hour to half a day; a profile
overrides any of them by rule (``set-resources``). They are no parameters of a rule: changing one reruns nothing. On a
laptop they are only labels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.models.sizes import weights_in

SIZES = {"tiny": 0.1, "1b": 3.0, "8b": 9.5, "13b": 20.0, "70b": float("inf")}
"""Size classes of models, and how many billion parameters each reaches up to."""

FLAGS = ("gpu", "gres")


@dataclass(frozen=True)
class Request:
    """What the first attempt of a job asks for, for each of its processes; ``memory_gb`` is the host's."""

    gpus: int
    cores: int
    memory_gb: int
    minutes: int


# One process holds a whole model on one GPU; a training may have several. Host memory holds the weights once while they
# load (2 bytes a parameter), and in training the process's share of the gathered checkpoint.
REQUESTS: dict[str, dict[str, Request]] = {
    "forward": {
        "tiny": Request(0, 1, 4, 30),
        "1b": Request(1, 8, 32, 60),
        "8b": Request(1, 8, 64, 120),
        "13b": Request(1, 8, 96, 180),
        "70b": Request(1, 8, 320, 360),
    },
    "generate": {
        "tiny": Request(0, 1, 4, 30),
        "1b": Request(1, 8, 32, 120),
        "8b": Request(1, 8, 64, 240),
        "13b": Request(1, 8, 96, 360),
        "70b": Request(1, 8, 320, 720),
    },
    "train": {
        "tiny": Request(0, 2, 6, 60),
        "1b": Request(1, 8, 64, 240),
        "8b": Request(1, 8, 96, 720),
        "13b": Request(1, 8, 128, 1200),
        "70b": Request(1, 8, 320, 1440),
    },
}


@dataclass(frozen=True)
class Site:
    """What only a site knows: the first block of ``profiles/slurm``. A local run has none of it.

    Attributes:
        slurm_partition: partition for jobs without a GPU.
        gpu_partition: partition for jobs with one.
        gpu_flag: ``gpu`` asks by ``--gpus=2``, ``gres`` by ``--gres=gpu:2``.
        gpu_type: type of GPU as SLURM names it; ``none`` leaves it open.
        gpu_constraint: feature that a node with GPUs must have; ``none`` leaves it open.
        most_memory_gb: memory of the largest node with GPUs; later attempts ask for no more.
        longest_minutes: time limit of the partition with GPUs; later attempts ask for no more.
    """

    slurm_partition: str = ""
    gpu_partition: str = ""
    gpu_flag: str = "gpu"
    gpu_type: str = "none"
    gpu_constraint: str = "none"
    most_memory_gb: int = 1_000_000
    longest_minutes: int = 1_000_000

    @classmethod
    def from_defaults(cls, defaults: Mapping[str, Any]) -> Self:
        """Read the site from a profile's ``default-resources``; keys that are not the site's are left alone; UserError
        where ``gpu_flag`` is unknown, or a limit is no number."""
        known = {field.name: field for field in fields(cls)}
        given = {name: value for name, value in defaults.items() if name in known}
        values: dict[str, Any] = {name: str(value).strip("'").strip('"') for name, value in given.items()}
        for name in ("most_memory_gb", "longest_minutes"):
            if name in values:
                if not values[name].isdigit():
                    wrong = f"default-resources.{name}: {values[name]!r} is no whole number"
                    raise UserError(f"{wrong}. Mend it in the profile.")
                values[name] = int(values[name])
        if values.get("gpu_flag", "gpu") not in FLAGS:
            raise not_accepted("default-resources.gpu_flag", values["gpu_flag"], FLAGS)
        return cls(**values)


def size_class(name: str, given: str | None = None) -> str:
    """Size class of a model: as given, else from its name (``Llama-2-7b-hf``, ``SmolLM2-135M``), else ``8b``."""
    weights = weights_in(name)
    if given or weights is None:
        return given or "8b"
    return next(size for size, limit in SIZES.items() if weights / 1e9 <= limit)


def requests(
    kind: str,
    size_of: Callable[[Any], str],
    site: Site,
    processes_of: Callable[[Any], int] = lambda wildcards: 1,
    nodes_of: Callable[[Any], int] = lambda wildcards: 1,
) -> dict[str, Callable[..., Any]]:
    """Resources of a rule, as Snakemake evaluates them for a job, by kind: ``forward``, ``generate`` or ``train``.

    Memory and time grow with the attempt, up to the site's limits: a job that ran out of either gets more next time.
    The functions take a job's wildcards: size class of its model, its processes on each node (each has a GPU, cores and
    memory of its own), its nodes (a job of several starts what runs on the others itself, with srun).
    """

    def asked(wildcards: Any) -> Request:
        one, count = REQUESTS[kind][size_of(wildcards)], processes_of(wildcards)
        return replace(one, gpus=one.gpus * count, cores=one.cores * count, memory_gb=one.memory_gb * count)

    def by_flag(flag: str, value: Callable[[int], Any]) -> Callable[[Any], Any]:
        return lambda wildcards: value(gpus) if (gpus := asked(wildcards).gpus) and flag_of(wildcards) == flag else None

    def flag_of(wildcards: Any) -> str:
        """``--gpus`` counts over all nodes and may give one more than another; ``--gres`` counts on each."""
        return "gres" if nodes_of(wildcards) > 1 else site.gpu_flag

    def of_several(value: Callable[[int], Any]) -> Callable[[Any], Any]:
        return lambda wildcards: value(nodes) if (nodes := nodes_of(wildcards)) > 1 else None

    typed = site.gpu_type not in ("", "none")
    constrained = site.gpu_constraint not in ("", "none")
    return {
        "gpu": by_flag("gpu", lambda gpus: gpus),
        "gpu_model": by_flag("gpu", lambda gpus: site.gpu_type if typed else None),
        "gres": by_flag("gres", lambda gpus: f"gpu:{site.gpu_type}:{gpus}" if typed else f"gpu:{gpus}"),
        "constraint": lambda wildcards: site.gpu_constraint if asked(wildcards).gpus and constrained else None,
        "slurm_partition": lambda wildcards: (
            (site.gpu_partition if asked(wildcards).gpus else site.slurm_partition) or None
        ),
        "cpus_per_task": lambda wildcards: asked(wildcards).cores,
        "mem_mb": lambda wildcards, attempt: min(asked(wildcards).memory_gb * attempt, site.most_memory_gb) * 1000,
        # Snakemake's plugin starts the job's script without srun where "mpi" is set: the script's srun has all nodes.
        "mpi": of_several(lambda nodes: "srun"),
        "nodes": of_several(lambda nodes: nodes),
        "tasks": of_several(lambda nodes: nodes),
        "tasks_per_gpu": of_several(lambda nodes: 0),
        "runtime": lambda wildcards, attempt: min(asked(wildcards).minutes * attempt, site.longest_minutes),
    }
