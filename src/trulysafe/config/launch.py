"""How many processes train one policy; known without torch, so that a configuration is held to the same rules as a job.

``batch_size`` is the number of pairs of a micro-batch over all processes together, so that the same configuration trains on the same
micro-batches whatever the number of processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from trulysafe.common.errors import UserError, not_accepted

Engine = Literal["single", "ddp", "zero2", "zero3"]
ENGINES = get_args(Engine)


@dataclass(frozen=True)
class Launch:
    """How a training run is carried out; never what it computes.

    Attributes:
        engine: ``single`` trains in the job's own process, the others in ``processes`` processes started by torchrun.
        processes: of one run over all nodes together, one for each GPU.
        nodes: of a SLURM job, over which the processes are spread evenly.
        checkpoint_steps: optimiser steps between checkpoints; 0 saves one only when the job is told to stop.
    """

    engine: str = "single"
    processes: int = 1
    checkpoint_steps: int = 0
    nodes: int = 1

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise not_accepted("training.engine", self.engine, ENGINES)
        if self.processes < 1 or self.checkpoint_steps < 0:
            raise UserError("training.processes must be at least 1, training.checkpoint_steps at least 0.")
        if self.nodes < 1 or self.processes % self.nodes:
            raise UserError(
                f"training.processes: {self.processes} cannot be spread over {self.nodes} nodes. Make it a multiple of training.nodes."
            )
        if self.engine == "single" and self.processes > 1:
            raise UserError(
                f"training.processes: {self.processes} with engine 'single'. Accepted: 1; for more choose the engine ddp, zero2 or zero3."
            )

    @property
    def deepspeed(self) -> bool:
        """Whether DeepSpeed is the engine."""
        return self.zero_stage > 0

    @property
    def zero_stage(self) -> int:
        """Stage of DeepSpeed's ZeRO; 0 where another engine trains."""
        return {"zero2": 2, "zero3": 3}.get(self.engine, 0)

    @property
    def per_node(self) -> int:
        """Processes on each node."""
        return self.processes // self.nodes

    def per_process(self, batch_size: int) -> int:
        """Pairs of a micro-batch that each process holds.

        Raises:
            UserError: the micro-batch cannot be spread evenly.
        """
        if batch_size % self.processes:
            raise UserError(
                f"training.batch_size: a micro-batch of {batch_size} pairs cannot be spread over {self.processes} processes. Make it a multiple of "
                f"{self.processes}; lower training.accumulation in step to keep the pairs of an optimiser step."
            )
        return batch_size // self.processes
