"""How many processes train one policy, and what holds them together: nothing, DDP, DeepSpeed ZeRO-2 or ZeRO-3.

``batch_size`` is the number of pairs of a micro-batch over all processes together, so that the same configuration trains on the same
micro-batches whatever the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from transformers import TrainerCallback

from trulysafe.errors import UserError, not_accepted

ENGINES = ("single", "ddp", "zero2", "zero3")
_STAGES = {"zero2": 2, "zero3": 3}


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
        return self.engine in _STAGES

    @property
    def per_node(self) -> int:
        """Processes on each node."""
        return self.processes // self.nodes

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> Launch:
        """Build it from plain options."""
        return cls(**options)

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


def engine_arguments(launch: Launch, *, bf16: bool) -> dict[str, Any]:
    """Arguments of the transformers Trainer for an engine."""
    arguments: dict[str, Any] = {"use_cpu": not torch.cuda.is_available()}
    if launch.engine != "single" and not torch.cuda.is_available():
        arguments["ddp_backend"] = "gloo"
    if launch.deepspeed:
        if find_spec("deepspeed") is None:
            raise UserError(
                f"training.engine: {launch.engine!r} needs DeepSpeed, which is not installed. Install it with make env EXTRA=gpu, or choose ddp."
            )
        arguments["deepspeed"] = deepspeed_options(_STAGES[launch.engine], bf16=bf16)
    return arguments


def deepspeed_options(stage: int, *, bf16: bool) -> dict[str, Any]:
    """DeepSpeed's configuration; what says ``auto`` comes from the Trainer. The optimiser is the Trainer's AdamW."""
    return {
        "zero_optimization": {"stage": stage, "stage3_gather_16bit_weights_on_model_save": True},
        "bf16": {"enabled": bf16},
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "steps_per_print": 10**9,
    }


def agree_on_stop(accelerator: Any) -> Callable[[bool], bool]:
    """A function that says whether any process was told to stop."""

    def agree(told: bool) -> bool:
        if accelerator.num_processes == 1:
            return told
        votes = accelerator.reduce(torch.tensor(float(told), device=accelerator.device), "sum")
        return bool(votes > 0)

    return agree


def check_engine(trainer: Any, launch: Launch) -> None:
    """Refuse to train with another number of processes or another engine than asked for; the engine is checked before the first step.

    Raises:
        UserError: e.g. variables of a cluster's launcher made the library guess.
    """
    found = trainer.accelerator.num_processes
    if found != launch.processes:
        raise UserError(
            f"{found} processes train, but training.processes is {launch.processes}. Variables that a launcher left in the environment may mislead "
            "the library: unset WORLD_SIZE, RANK, LOCAL_RANK and PMI_SIZE."
        )
    trainer.add_callback(_EngineCheck(trainer, launch))


class _EngineCheck(TrainerCallback):
    def __init__(self, trainer: Any, launch: Launch) -> None:
        self.trainer, self.launch = trainer, launch

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        found = _engine_of(self.trainer.model_wrapped)
        expected = "single" if self.launch.engine == "ddp" and self.launch.processes == 1 else self.launch.engine
        if found != expected:
            raise UserError(f"training.engine is {self.launch.engine!r}, but {found!r} came up. Nothing was trained.")


def _engine_of(model: Any) -> str:
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        return "ddp"
    if hasattr(model, "zero_optimization_stage"):
        return f"zero{model.zero_optimization_stage()}"
    return type(model).__name__ if isinstance(model, torch.nn.DataParallel) else "single"
