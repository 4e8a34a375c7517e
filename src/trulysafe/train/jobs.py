"""Training runs that survive their job: a folder per run, owned by one process at a time, gone on with after a failure.

A run's folder holds what it is (:data:`RUN_FILE`), its checkpoints, its snapshots so far and, written last, its log: a run with a log is finished and is
not trained again. The folder lies outside the job's outputs, which Snakemake deletes when the job fails.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from datasets import Dataset

from trulysafe.common.errors import UserError
from trulysafe.common.files import write_json, written_whole
from trulysafe.config.launch import Launch
from trulysafe.methods.method import Method
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.train.limits import check_limits
from trulysafe.train.memory import GIB
from trulysafe.train.processes import train_in_processes
from trulysafe.train.run import STOP_FILE, train_policy
from trulysafe.train.run_data import load_reward
from trulysafe.train.torchrun import forget_ranks
from trulysafe.trainers.checkpoints import newest_complete
from trulysafe.workflow.owner_lock import owned

logger = logging.getLogger("trulysafe")
RUN_FILE, LOG_FILE = "run.json", "log.csv"
POLICY, CHECKPOINTS, DATA = "policy", "trainer", "data"


@dataclass(frozen=True)
class TrainingRun:
    """One policy to train, as plain values: enough for another process to do it.

    Attributes:
        folder: of the run; see the module.
        provenance: id of the job's inputs, options and code; a checkpoint of another id is not gone on from.
        model: how to load the model to start from.
        method: options of the preference method.
        training: the configuration's ``training`` table for this run, without ``launch``.
        seed: order of the data and initialisation of adapters.
        launch: engine, processes, checkpoints.
        reward: folder of the reward artefact, for methods that read one.
        reward_identity: what the reward must say about its base model.
        judge: kind, options and artefact of the judge of online pairs, if it is not the reward.
    """

    folder: str
    provenance: str
    model: Mapping[str, Any]
    method: Mapping[str, Any]
    training: Mapping[str, Any]
    seed: int
    launch: Mapping[str, Any] = field(default_factory=dict)
    reward: str | None = None
    reward_identity: Mapping[str, Any] = field(default_factory=dict)
    judge: Mapping[str, Any] | None = None

    @property
    def place(self) -> Path:
        """The folder as a path."""
        return Path(self.folder)

    @property
    def finished(self) -> bool:
        """Whether the run was trained to its end, by this configuration."""
        return (self.place / LOG_FILE).is_file() and _stored(self.place).get("provenance") == self.provenance


def train_run(run: TrainingRun, dataset: Callable[[], Dataset]) -> pd.DataFrame:
    """Train a policy, or go on with it; nothing is done where it is finished.

    Args:
        run: what to train, and where.
        dataset: makes the data set (:func:`trulysafe.train.run_data.run_data`); called only if there is something to train.

    Returns:
        Tidy log with columns step, name, value. The snapshots are in ``run.place / POLICY``.

    Raises:
        UserError: another job works on this run, the run was told to stop, or it cannot be trained; see :func:`train_policy`.
    """
    with owned(run.place):
        if run.finished:
            logger.info("%s is finished and kept", run.folder)
        else:
            _start_or_go_on(run)
            launch, method, data = Launch(**run.launch), Method(**run.method), dataset()
            memory = check_limits(run.model, run.training, launch, _lengths(data, method))
            if torch.cuda.device_count() > launch.per_node:
                logger.warning(
                    "This job sees %d GPUs and trains in %d process(es); the others are idle. training.engine and training.processes use them.",
                    torch.cuda.device_count(),
                    launch.per_node,
                )
            if memory.total > GIB:
                logger.info("%s: about %s on each device", run.folder, memory)
            if launch.engine == "single":
                forget_ranks(os.environ)
                train_here(run, data)
            else:
                data.save_to_disk(run.place / DATA)
                train_in_processes(run.place, launch)
            for name in (CHECKPOINTS, DATA):
                shutil.rmtree(run.place / name, ignore_errors=True)
        return pd.read_csv(run.place / LOG_FILE)


def train_here(run: TrainingRun, dataset: Dataset, parent: int | None = None) -> None:
    """Train in this process (one of ``launch.processes``) and, in the first of them, write the log."""
    method = Method(**run.method)
    reward = load_reward(run.reward, run.reward_identity) if run.reward else None
    launch = Launch(**run.launch)
    spec = {**run.model, "dtype": weights_dtype(run.model, run.training, launch)}
    log = train_policy(
        lambda: load_model(spec),
        load_tokenizer(run.model),
        dataset,
        method,
        run.training,
        run.seed,
        run.place / POLICY,
        reward,
        work=run.place / CHECKPOINTS,
        launch=launch,
        parent=parent,
        save_dtype=None if run.training["lora"] else getattr(torch, run.model.get("dtype", "float32")),
        judge=run.judge,
    )
    if int(os.environ.get("RANK", "0")) == 0:
        with written_whole(run.place / LOG_FILE) as private:
            log.to_csv(private, index=False)


def weights_dtype(model: Mapping[str, Any], training: Mapping[str, Any], launch: Launch) -> str:
    """Precision of the weights that an optimiser works on.

    A step of 1e-6 is lost in a weight kept in bfloat16 (8 bits), so weights that are trained are kept in float32; ``training.bf16`` computes with
    bfloat16 copies of them. LoRA's base stays as it is (the adapter is float32), and so do weights of which DeepSpeed keeps the float32 ones.
    """
    own = str(model.get("dtype", "float32"))
    if training["lora"] or (launch.deepspeed and training["bf16"] and own == "bfloat16"):
        return own
    return "float32"


def copy_policies(run: TrainingRun, output: Path) -> None:
    """Put a finished run's snapshots into an output folder, as hard links where the file system has them."""
    shutil.copytree(run.place / POLICY, output, copy_function=_link_or_copy)


def _lengths(data: Dataset, method: Method) -> list[int]:
    """Tokens of the longer side of each pair; of pairs that are sampled, as many as a sample may have."""
    sampled = method.online.max_new_tokens if method.online.samples else 0
    sides = zip(data["prompt_ids"], data["chosen_ids"], data["rejected_ids"], data["in_scope"], strict=True)
    return [
        len(prompt) + max(len(chosen), len(rejected), sampled * inside) for prompt, chosen, rejected, inside in sides
    ]


def _start_or_go_on(run: TrainingRun) -> None:
    """Make the folder fit this run: keep what belongs to it, remove what another configuration left."""
    stored = _stored(run.place)
    checkpoint = newest_complete(run.place / CHECKPOINTS)
    if stored.get("provenance") != run.provenance:
        if stored or checkpoint:
            logger.info("%s holds a run of other options, inputs or code; it is removed and trained anew", run.folder)
        _clear(run.place)
    elif checkpoint is not None:
        found, asked = Launch(**stored["launch"]), Launch(**run.launch)
        if (found.engine, found.processes) != (asked.engine, asked.processes):
            raise UserError(
                f"{checkpoint}: written by {found.processes} processes with engine {found.engine!r}, but training.processes is {asked.processes} and "
                f"training.engine {asked.engine!r}. Set them back to go on exactly, or delete {run.folder} to start over."
            )
    (run.place / STOP_FILE).unlink(missing_ok=True)
    (run.place / LOG_FILE).unlink(missing_ok=True)
    write_json(run.place / RUN_FILE, asdict(run))


def read_run(folder: Path | str) -> TrainingRun:
    """The run that a folder belongs to."""
    return TrainingRun(**_stored(Path(folder)))


def _stored(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _clear(folder: Path) -> None:
    for name in (RUN_FILE, LOG_FILE, STOP_FILE):
        (folder / name).unlink(missing_ok=True)
    for name in (CHECKPOINTS, POLICY, DATA):
        shutil.rmtree(folder / name, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
