"""Training runs of the workflow: tables in, a policy per snapshot and a tidy log out."""

from __future__ import annotations

import logging
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback, set_seed
from trl import DPOConfig

from trulysafe.common.errors import UserError
from trulysafe.config.launch import Launch
from trulysafe.methods.method import Method
from trulysafe.train.engines import check_engine, engine_arguments
from trulysafe.train.run_data import RewardInputs
from trulysafe.trainers.checkpoints import SaveAndStop, StopRequest, newest_complete
from trulysafe.trainers.online_pairs import OnlinePreferenceTrainer
from trulysafe.trainers.preference import PreferenceTrainer

logger = logging.getLogger("trulysafe")
STOP_FILE = "stop"
"""Beside the checkpoints: asks every process of a run to save one and stop."""


def train_policy(
    model: Callable[[], PreTrainedModel],
    tokenizer: Any,
    dataset: Dataset,
    method: Method,
    options: Mapping[str, Any],
    seed: int,
    output: Path,
    reward: RewardInputs | None = None,
    *,
    work: Path,
    launch: Launch,
    parent: int | None = None,
    save_dtype: torch.dtype | None = None,
    judge: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Train one policy and keep it at every snapshot as ``output/step<k>``; go on from a checkpoint in ``work`` if there is one.

    Args:
        model: loads the model to start from; called when the engine is set up (ZeRO-3 spreads the weights over the processes while they
            are read).
        tokenizer: its tokenizer, saved beside every snapshot.
        dataset: from :func:`trulysafe.train.run_data.run_data`.
        method: the preference method.
        options: the configuration's ``training`` table, resolved for this run.
        seed: order of the data and initialisation of adapters.
        output: directory of the run.
        reward: for methods that read a hybrid reward.
        work: folder of checkpoints, which survives a failure.
        launch: engine, processes and checkpoints. This function runs in each of the processes.
        parent: process id of the launcher without which a worker stops.
        save_dtype: precision of the snapshots' weights; that of training if not given.
        judge: how to open the judge of online pairs, if it is not the reward.

    Returns:
        Tidy log with columns step, name, value.

    Raises:
        UserError: the loss is not finite, the job was told to stop (a checkpoint is kept), training ended before its last step, or
            the engine that runs is not the one asked for.
    """
    steps = int(options["steps"])
    snapshots = {step for step in options["snapshots"] if step < steps} | {steps}
    stop = StopRequest(work.parent / STOP_FILE, parent)
    arguments = _arguments(options, seed, work, launch)
    set_seed(seed)  # a new adapter is drawn before the Trainer does so
    kind: Any = partial(OnlinePreferenceTrainer, judge=judge) if method.online.samples else PreferenceTrainer
    trainer = kind(
        model(),
        method=method,
        reward_model=reward.reward if reward else None,
        validation_states=reward.validation_states if reward else None,
        args=arguments,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=_lora(options),
    )
    check_engine(trainer, launch)
    saving = SaveAndStop(launch.checkpoint_steps, stop, trainer.accelerator)
    trainer.remove_callback(PrinterCallback)  # the log is written as a table
    trainer.add_callback(_Snapshots(trainer, snapshots, output, save_dtype))
    trainer.add_callback(saving)
    checkpoint = newest_complete(work)
    if checkpoint is not None:
        logger.info("Going on from %s", checkpoint)
    with on_sigterm(stop.signal):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    done = trainer.state.global_step
    if saving.stopped:
        raise UserError(
            f"Told to stop at step {done} of {steps}; a checkpoint is kept in {work}. Run the same command again to go on from there."
        )
    if done != steps:
        raise UserError(f"Training ended at step {done} of {steps}. Run the same command again.")
    meter = trainer.meter.of_all_processes()
    trainer.accelerator.wait_for_everyone()
    if trainer.accelerator.is_main_process:
        meter.save(output, trainer.accelerator.unwrap_model(trainer.model))
        shutil.rmtree(work, ignore_errors=True)
    return _tidy(trainer.state.log_history)


@contextmanager
def on_sigterm(handler: Any) -> Iterator[None]:
    """Let a handler receive SIGTERM for a while, where that is possible (in a process's main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Snapshots(TrainerCallback):
    """Keeps the policy at given steps: weights (of LoRA the adapter alone), configuration and tokenizer."""

    def __init__(
        self, trainer: PreferenceTrainer, steps: set[int], output: Path, dtype: torch.dtype | None = None
    ) -> None:
        self.trainer, self.steps, self.output, self.dtype = trainer, steps, output, dtype

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step not in self.steps:
            return
        accelerator, folder = self.trainer.accelerator, self.output / f"step{state.global_step}"
        weights = accelerator.get_state_dict(self.trainer.model_wrapped)  # every process: it may hold a part
        if accelerator.is_main_process:
            shutil.rmtree(folder, ignore_errors=True)  # a kill may have left half of it
            policy: Any = accelerator.unwrap_model(self.trainer.model_wrapped)
            policy.save_pretrained(folder, state_dict=_converted(weights, self.dtype))
            tokenizer: Any = self.trainer.processing_class
            tokenizer.save_pretrained(folder)
        accelerator.wait_for_everyone()


def _converted(weights: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Weights in another precision; tied ones stay one tensor."""
    made: dict[int, Tensor] = {}
    for tensor in weights.values():
        if tensor.data_ptr() not in made:
            made[tensor.data_ptr()] = tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor
    return {name: made[tensor.data_ptr()] for name, tensor in weights.items()}


def _arguments(options: Mapping[str, Any], seed: int, work: Path, launch: Launch) -> DPOConfig:
    arguments = DPOConfig(
        output_dir=str(work),
        max_steps=options["steps"],
        per_device_train_batch_size=launch.per_process(options["batch_size"]),
        gradient_accumulation_steps=options["accumulation"],
        learning_rate=options["learning_rate"],
        warmup_steps=options["warmup_share"],
        lr_scheduler_type=options["schedule"],
        lr_scheduler_kwargs={key: value for key, value in options["schedule_options"].items() if value is not None},
        weight_decay=options["weight_decay"],
        max_grad_norm=options["max_grad_norm"],
        beta=options["beta"],
        bf16=options["bf16"],
        gradient_checkpointing=options["gradient_checkpointing"],
        max_length=None,
        seed=seed,
        data_seed=seed,
        save_strategy="no",
        logging_steps=max(1, options["steps"] // 20),
        logging_first_step=True,  # what the reward says of the policy before it has moved
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        disable_tqdm=True,
        **engine_arguments(launch, bf16=options["bf16"]),
    )
    if launch.engine == "single" and arguments.n_gpu > 1:
        arguments._n_gpu = 1  # or transformers would spread each micro-batch over all GPUs it sees, and enlarge it
    return arguments


def _lora(options: Mapping[str, Any]) -> Any:
    if not options["lora"]:
        return None
    from peft import LoraConfig

    return LoraConfig(task_type="CAUSAL_LM", **options["lora"])


def _tidy(history: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    rows = [
        {"step": int(entry["step"]), "name": name, "value": float(value)}
        for entry in history
        if "loss" in entry
        for name, value in sorted(entry.items())  # the order in which a resumed run knows them
        if name not in ("step", "epoch", "num_tokens")
    ]
    return pd.DataFrame(rows, columns=["step", "name", "value"])
