"""A training run on a tiny model, written to disk as the workflow does: model, reward, data set, run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import save_file

from tests.unit import tiny
from trulysafe.methods.method import Method
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.models.scoring import token_logps
from trulysafe.models.tokens import encode
from trulysafe.reward.model import HybridReward
from trulysafe.reward.states import ENDPOINT, SCALES, VALIDATION
from trulysafe.reward.token_scale import TokenScale, save_scales
from trulysafe.train import run as runs
from trulysafe.train.run import TrainingRun
from trulysafe.trainers.step_cost import COST_FILE

TRAINING: dict[str, Any] = {
    "steps": 7, "batch_size": 4, "accumulation": 2, "learning_rate": 1e-2, "warmup_share": 0.03, "schedule": "linear",
    "schedule_options": {},
    "weight_decay": 0.01, "max_grad_norm": 1.0, "beta": 0.3, "bf16": False, "gradient_checkpointing": False,
    "lora": None,
    "snapshots": [3],
}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {
    "dpo": {},
    "per_pair": {"confidence": {"kind": "label", "per_pair": True, "calibrate_every": 2}},
    "kto": {"loss": "kto"},
    "online": {"online": {"samples": 4, "max_new_tokens": 40}},
    "ppo": {
        "loss": "ppo",
        "mask": {"rule": "advantage"},
        "online": {"samples": 4, "max_new_tokens": 40},
        "ppo": {"epochs": 3},
    },
    "lagrangian": {
        "loss": "ppo",
        "online": {"samples": 4, "max_new_tokens": 40},
        "ppo": {"epochs": 3, "lagrangian": {"cost": "safety", "learning_rate": 0.02}},
    },
    "circuit_breakers": {"loss": "circuit_breakers", "rerouting": {"layers": [1], "distance": "relative"}},
    "batch": {"confidence": {"kind": "label", "calibrate_every": 2}, "mask": {"rule": "batch_mean"}},
}


def save_model(folder: Path, family: str = "llama", **changes: Any) -> dict[str, Any]:
    """Write a random model and the tokenizer; return how to load them."""
    made = tiny.model(family)
    for name, value in changes.items():
        setattr(made.config, name, value)
    made.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return {"source": str(folder), "dtype": "float32"}


def save_reward(
    folder: Path, layers: int = tiny.LAYERS, width: int = tiny.WIDTH, seed: int = 4, offset: float = 0.0
) -> Path:
    """Write a random reward artefact with validation states."""
    draw = torch.Generator().manual_seed(seed)
    reward = HybridReward(layers, width)
    reward.reset_parameters(draw)
    reward.offset.fill_(offset)
    reward.save_pretrained(folder / ENDPOINT, {"base_model": "tiny"})
    states = {side: torch.randn(12, layers, width, generator=draw) for side in ("safe", "unsafe")}
    save_file(states, folder / VALIDATION)
    save_scales([TokenScale("level", 0.0, 1.0), TokenScale("difference", 0.0, 1.0)], folder / SCALES)
    return folder


def with_dropout(folder: Path) -> tuple[dict[str, Any], Path, Dataset]:
    """A model with dropout, so that random states matter; its reward and its data."""
    spec = save_model(folder / "model", "gpt2")
    return spec, save_reward(folder / "reward"), dataset(spec)


def keep_trained(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Where the policy of a run will be, as ``model``, from its first snapshot on."""
    trained: dict[str, Any] = {}
    original = runs._Snapshots.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        original(self, args, state, control, **rest)
        trained["model"] = self.trainer.accelerator.unwrap_model(self.trainer.model)

    patch.setattr(runs._Snapshots, "on_step_end", on_step_end)
    return trained


def dataset(spec: dict[str, Any], pairs: int = 11) -> Dataset:
    """Random pairs with reference log-probabilities, scope, rewards and token rewards; a third of them is out of
    scope."""
    draw = torch.Generator().manual_seed(7)
    tokenizer, model = load_tokenizer(spec), load_model(spec)

    def words(low: int, high: int) -> str:
        length = int(torch.randint(low, high, (1,), generator=draw))
        return " ".join(tiny.WORDS[int(word)] for word in torch.randint(0, len(tiny.WORDS), (length,), generator=draw))

    texts = [(words(2, 6), words(2, 9), words(2, 9)) for _ in range(pairs)]
    columns: dict[str, Any] = {
        "pair_index": list(range(pairs)),
        "pair_id": [f"pair{row}" for row in range(pairs)],
        "in_scope": [row % 3 != 0 for row in range(pairs)],
    }
    for side, place in (("chosen", 1), ("rejected", 2)):
        encoded = [encode(tokenizer, text[0], text[place]) for text in texts]
        columns["prompt_ids"] = [item.prompt_ids for item in encoded]
        columns[f"{side}_ids"] = [item.response_ids for item in encoded]
        columns[f"{side}_ref_token_logps"] = token_logps(model, encoded, tokenizer.pad_token_id, 4)
        columns[f"{side}_reward"] = torch.randn(pairs, generator=draw).tolist()
        columns[f"{side}_token_rewards"] = [
            torch.randn(len(item.response_ids), generator=draw).tolist() for item in encoded
        ]
    return Dataset.from_dict(columns)


def run(
    folder: Path, spec: dict[str, Any], method: str = "dpo", reward: Path | None = None, **changes: Any
) -> TrainingRun:
    """A run in ``folder``; ``changes`` are training options, or ``launch``, ``provenance``, ``seed``."""
    fixed = {
        "seed": changes.pop("seed", 5),
        "provenance": changes.pop("provenance", "p1"),
        "launch": changes.pop("launch", {}),
    }
    options = METHODS[method]
    method = Method(**options)
    cost = save_reward(folder / "cost", seed=9, offset=0.25) if method.ppo.lagrangian else None
    return TrainingRun(
        folder=str(folder),
        model=spec,
        method=options,
        training=TRAINING | changes,
        reward=str(reward) if method.needs_reward else None,
        cost=str(cost) if cost else None,
        **fixed,
    )


def outcome(made: TrainingRun) -> dict[str, bytes]:
    """All that a finished run leaves: its log and every file of every snapshot. What it cost is of the machine and the
    hour."""
    files = [made.place / "log.csv", *sorted((made.place / "policy").rglob("*"))]
    return {
        str(path.relative_to(made.place)): path.read_bytes()
        for path in files
        if path.is_file() and "training_args" not in path.name and path.name != COST_FILE
    }


def seldom_logged(arguments: Callable[..., Any]) -> Callable[..., Any]:
    """The Trainer's arguments with a log row every third step only."""

    def make(*given: Any, **named: Any) -> Any:
        made = arguments(*given, **named)
        made.logging_steps = 3
        return made

    return make
