"""What a job asks a cluster for: GPUs, cores, memory and time, by kind of work and size of model.

The numbers are starting points for nodes with 80 GB GPUs and for jobs of under an hour to half a day; a profile
overrides any of them by rule (``set-resources``). Changing one reruns nothing. On a laptop they are only labels.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from trulysafe.common.options import Count, PublicTable
from trulysafe.models.sizes import weights_in

SIZES = {"tiny": 0.1, "1b": 3.0, "8b": 9.5, "13b": 20.0, "70b": float("inf")}
"""Size classes of models, and how many billion parameters each reaches up to."""

_GPU_KEYS = "gpu gpu_model gres constraint mpi nodes tasks tasks_per_gpu".split()
KEYS = ["slurm_partition", "cpus_per_task", "mem_mb", "runtime", *_GPU_KEYS]
"""Resources that a rule with a model may ask for."""


@dataclass(frozen=True)
class Request:
    """What the first attempt of a job asks for, for each of its processes; ``memory_gb`` is the host's."""

    gpus: int
    cores: int
    memory_gb: int
    minutes: int


_KINDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
REQUESTS = {kind: {size: Request(**asked) for size, asked in sizes.items()} for kind, sizes in _KINDS.items()}
"""Kind of work -> size of model -> request, from ``resources.toml``."""


class Site(PublicTable):
    """What only a site knows: the first block of ``profiles/slurm``. A local run has none of it."""

    WHERE: ClassVar = "default-resources"

    slurm_partition: str = Field("", description="Partition for jobs without a GPU.")
    gpu_partition: str = Field("", description="Partition for jobs with one.")
    gpu_flag: Literal["gpu", "gres"] = Field("gpu", description="How GPUs are asked for: `--gpus=2` or `--gres=gpu:2`.")
    gpu_type: str = Field("none", description="Type of GPU as SLURM names it; `none` leaves it open.")
    gpu_constraint: str = Field("none", description="Feature that GPU nodes must have; `none` leaves it open.")
    most_memory_gb: Count = Field(1_000_000, description="Memory of the largest GPU node; attempts ask for no more.")
    longest_minutes: Count = Field(1_000_000, description="Time limit of gpu_partition; attempts ask for no more.")

    @classmethod
    def from_defaults(cls, defaults: Mapping[str, Any]) -> Self:
        """Read the site from a profile's ``default-resources``, other keys left alone; UserError as of any table."""
        known = {name: value for name, value in defaults.items() if name in cls.model_fields}
        return cls(**{name: str(value).strip("'").strip('"') for name, value in known.items()})


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
    beside_of: Callable[[Any], int] = lambda wildcards: 0,
) -> dict[str, Callable[..., Any]]:
    """Resources of a rule, as Snakemake evaluates them for a job, by kind: ``forward``, ``generate`` or ``train``.
    Memory and time grow with the attempt, up to the site's limits: a job that ran out of either gets more next time.
    The functions take a job's wildcards: size class of its model, its processes on each node (each has a GPU, cores and
    memory of its own), its nodes (a job of several starts what runs on the others itself, with srun), and the gigabytes
    that each node holds beside those of its processes."""

    def asked(wildcards: Any, attempt: int) -> dict[str, Any]:
        one, processes, nodes = REQUESTS[kind][size_of(wildcards)], processes_of(wildcards), nodes_of(wildcards)
        memory = one.memory_gb * processes + beside_of(wildcards)
        found = {
            "slurm_partition": (site.gpu_partition if one.gpus else site.slurm_partition) or None,
            "cpus_per_task": one.cores * processes,
            "mem_mb": min(memory * attempt, site.most_memory_gb) * 1000,
            "runtime": min(one.minutes * attempt, site.longest_minutes),
        }
        if gpus := one.gpus * processes:
            typed, constraint = (value if value != "none" else "" for value in (site.gpu_type, site.gpu_constraint))
            # --gpus counts over all nodes and may give one more than another; --gres counts on each
            by_gres = {"gres": ":".join(filter(None, ("gpu", typed, str(gpus))))}
            by_gpu = {"gpu": gpus, "gpu_model": typed or None}
            found |= by_gres if nodes > 1 or site.gpu_flag == "gres" else by_gpu
            found["constraint"] = constraint or None
        # Snakemake's plugin starts the job's script without srun where "mpi" is set: the script's srun has all nodes.
        return found | ({"mpi": "srun", "nodes": nodes, "tasks": nodes, "tasks_per_gpu": 0} if nodes > 1 else {})

    def one(key: str) -> Callable[..., Any]:
        return lambda wildcards, attempt=1: asked(wildcards, attempt).get(key)

    return {key: one(key) for key in KEYS}
