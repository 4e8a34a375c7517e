"""A policy that ends its turns soon, a reward that tells its responses apart, and a trainer that samples its own
pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel

from tests.unit import tiny
from tests.unit.preference_world import arguments
from trulysafe import HybridReward
from trulysafe.methods.method import Method, Online
from trulysafe.models.scoring import token_logps
from trulysafe.models.tokens import encode
from trulysafe.trainers.online_pairs import OnlinePreferenceTrainer

PAIRS = [
    ("w1 w2 w3 w4", "w5 w6 w7", "w10 w11 w12"),
    ("w13 w14", "w15 w16", "w17 w18"),
    ("w21 w22 w23", "w24 w25", "w28 w29"),
]
ONLINE = Online(samples=6, max_new_tokens=40)
METHOD = Method(online=ONLINE)


def policy() -> PreTrainedModel:
    """A model that ends its turns soon."""
    made = tiny.model("llama")
    with torch.no_grad():
        made.lm_head.weight[2] = made.lm_head.weight.mean(dim=0) + 0.3 * made.lm_head.weight[2]
    return made


def judging_reward(seed: int = 5) -> HybridReward:
    """A reward whose every parameter is random."""
    torch.manual_seed(seed)
    made = HybridReward(tiny.LAYERS, tiny.WIDTH)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def dataset(model: Any, tokenizer: Any, in_scope: Sequence[bool] = (True, True, False)) -> Dataset:
    """The pairs as the workflow prepares them, with rewards of zero."""
    columns: dict = {"pair_index": list(range(len(PAIRS))), "in_scope": list(in_scope)}
    for side, place in (("chosen", 1), ("rejected", 2)):
        encoded = [encode(tokenizer, pair[0], pair[place]) for pair in PAIRS]
        columns["prompt_ids"] = [item.prompt_ids for item in encoded]
        columns[f"{side}_ids"] = [item.response_ids for item in encoded]
        columns[f"{side}_ref_token_logps"] = token_logps(model, encoded, tokenizer.pad_token_id, 3)
        columns[f"{side}_reward"] = [0.0] * len(PAIRS)
    return Dataset.from_dict(columns)


def trainer(
    model: Any, tokenizer: Any, reward: HybridReward | None, folder: Path, method: Method = METHOD, **options: Any
) -> OnlinePreferenceTrainer:
    """A trainer of three steps over all pairs at once."""
    data = options.pop("train_dataset", None) or dataset(model, tokenizer)
    return OnlinePreferenceTrainer(
        model,
        method=method,
        reward_model=reward,
        args=arguments(folder, per_device_train_batch_size=len(PAIRS)),
        train_dataset=data,
        processing_class=tokenizer,
        **options,
    )
