"""Four preference pairs, in conversation and as the workflow prepares them, and the arguments of a trainer of three
steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import DPOConfig

from trulysafe.models.scoring import token_logps
from trulysafe.models.tokens import encode

PAIRS = [
    ("w1 w2 w3 w4", "w5 w6 w7 w8 w9", "w10 w11 w12"),
    ("w13 w14", "w15 w16", "w17 w18 w19 w20"),
    ("w21 w22 w23", "w24 w25 w26 w27", "w28 w29"),
    ("w30 w31 w32 w33 w34", "w35 w36 w37", "w38 w39 w1 w2"),
]


def arguments(folder: Path, **options: Any) -> DPOConfig:
    """Three steps on CPU over all pairs at once, every one of them logged, nothing saved."""
    defaults = {
        "max_steps": 3,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "beta": 0.1,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "seed": 3,
        "max_length": None,
    }
    return DPOConfig(output_dir=str(folder), **(defaults | options))


def conversational() -> Dataset:
    """The pairs as TRL takes them."""
    said = (
        [{"role": "assistant", "content": text} for _, text, _ in PAIRS],
        [{"role": "assistant", "content": text} for _, _, text in PAIRS],
    )
    prompts = [[{"role": "user", "content": prompt}] for prompt, _, _ in PAIRS]
    return Dataset.from_dict({"prompt": prompts, "chosen": [[m] for m in said[0]], "rejected": [[m] for m in said[1]]})


def prepared(model: Any, tokenizer: Any, **extra: Any) -> Dataset:
    """The workflow's data set: ids and reference log-probabilities per token."""
    columns: dict = {"pair_index": list(range(len(PAIRS)))}
    for side, place in (("chosen", 1), ("rejected", 2)):
        encoded = [encode(tokenizer, pair[0], pair[place]) for pair in PAIRS]
        columns["prompt_ids"] = [item.prompt_ids for item in encoded]
        columns[f"{side}_ids"] = [item.response_ids for item in encoded]
        columns[f"{side}_ref_token_logps"] = token_logps(model, encoded, tokenizer.pad_token_id, 3)
    return Dataset.from_dict(columns | extra)


def losses(trainer: Any) -> list[float]:
    """Train, and return the loss of every step."""
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def moved(trainer: Any, seed: int = 1) -> Any:
    """The same trainer with a policy that has left the reference."""
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    return trainer


def loss_of(trainer: Any, batch_size: int = 4) -> float:
    """Mean loss over the micro-batches of the training set, in its order."""
    rows = [trainer.train_dataset[row] for row in range(len(trainer.train_dataset))]
    with torch.no_grad():
        parts = [
            trainer._compute_loss(trainer.model, trainer.data_collator(rows[start : start + batch_size]))
            for start in range(0, len(rows), batch_size)
        ]
    return float(sum(parts) / len(parts))
