"""How many processes train one policy; known without torch, so that a configuration is held to the same rules as a job.

``batch_size`` is the number of pairs of a micro-batch over all processes together, so that the same configuration
trains on the same micro-batches whatever the number of processes.
"""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from trulysafe.common.errors import UserError
from trulysafe.common.option_errors import error_at
from trulysafe.common.options import Count, PublicTable, Whole


class Launch(PublicTable):
    """How a training run is carried out; never what it computes."""

    WHERE: ClassVar = "training"

    engine: Literal["single", "ddp", "zero2", "zero3"] = "single"
    """What trains one policy: `single` is the job's own process, `ddp`, `zero2` and `zero3` (DeepSpeed) are processes
    started by `torchrun`. Changing it reruns nothing."""
    processes: Count = 1
    """Processes of one training run over all nodes together, one for each GPU; `batch_size` must be a multiple.
    Changing it reruns nothing."""
    nodes: Count = 1
    """Nodes of a SLURM job over which the processes are spread evenly; `processes` must be a multiple. Changing it
    reruns nothing."""
    offload: Literal["none", "optimizer", "all"] = "none"
    """What DeepSpeed keeps in the processor's memory: the optimiser's states (zero2, zero3), or with zero3 the weights
    too. Slower, and for models that no GPU at hand can train whole. Changing it reruns nothing."""
    threads: Count | None = None
    """Processor threads of a training job on a CPU; without it 1 for tiny models, 2 for others. With 1, jobs train side
    by side and need the memory of both. Changing it reruns nothing."""
    checkpoint_steps: Whole = 0
    """Optimiser steps between checkpoints under `results/<scenario>/checkpoints/`, from which a failed job goes on; 0
    saves one only when the job is told to stop (SIGTERM). Changing it reruns nothing."""

    @model_validator(mode="after")
    def _processes_fit(self) -> Self:
        if self.processes % self.nodes:
            said = f"cannot be spread over {self.nodes} nodes. Make it a multiple of training.nodes."
            raise error_at("processes", f"{self.processes} {said}")
        if self.engine == "single" and self.processes > 1:
            said = "with engine 'single'. Accepted: 1; for more choose the engine ddp, zero2 or zero3."
            raise error_at("processes", f"{self.processes} {said}")
        if self.offload != "none" and self.zero_stage < {"optimizer": 2, "all": 3}[self.offload]:
            said = f"with engine {self.engine!r}. Accepted: none; `optimizer` needs zero2 or zero3, `all` needs zero3."
            raise error_at("offload", f"{self.offload!r} {said}")
        return self

    @property
    def deepspeed(self) -> bool:
        """Whether DeepSpeed is the engine."""
        return self.zero_stage > 0

    @property
    def zero_stage(self) -> int:
        """Stage of DeepSpeed's ZeRO; 0 where another engine trains."""
        return {"zero2": 2, "zero3": 3}.get(self.engine, 0)

    def offloaded_bytes(self, *, adapter: bool) -> int:
        """Bytes of each weight of the model that lie in the processors' memory, over all processes: of what ZeRO keeps
        (a float32 copy, two moments, a gradient: of an adapter, which is small, it counts nothing) and with `all` the
        weight itself in 16 bits."""
        of_trained = 0 if adapter or self.offload == "none" else 16
        return of_trained + (2 if self.offload == "all" else 0)

    @property
    def per_node(self) -> int:
        """Processes on each node."""
        return self.processes // self.nodes

    def per_process(self, batch_size: int) -> int:
        """Pairs of a micro-batch that each process holds; UserError where it cannot be spread evenly."""
        if batch_size % self.processes:
            raise UserError(f"training.batch_size: {uneven(batch_size, self.processes)}")
        return batch_size // self.processes


def uneven(batch_size: int, processes: int) -> str:
    """What is said of a micro-batch that cannot be spread evenly."""
    return (
        f"a micro-batch of {batch_size} pairs cannot be spread over {processes} processes. Make it a multiple of "
        f"{processes}; lower training.accumulation in step to keep the pairs of an optimiser step."
    )
