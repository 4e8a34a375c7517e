"""What holds the processes of a training run together: nothing, DDP, DeepSpeed ZeRO-2 or ZeRO-3."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from transformers import TrainerCallback

from trulysafe.common.errors import UserError
from trulysafe.config.launch import Launch


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
        arguments["deepspeed"] = deepspeed_options(launch.zero_stage, bf16=bf16)
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
