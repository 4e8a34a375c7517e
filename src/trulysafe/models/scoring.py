"""Forwards over given conversations: what preference training needs from the frozen reference model.

Token log-probabilities depend on the model alone, rewards on the reward model too; both are computed once per pair
table and shared by all experiments that use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from trulysafe.models.layer_states import LayerStates, find_decoder
from trulysafe.models.tokens import Encoded
from trulysafe.reward.model import HybridReward

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Result = TypeVar("Result")


@dataclass(frozen=True)
class Rewards:
    """Rewards of one response: calibrated at its endpoint, raw prefix values after each of its tokens (end of turn
    included).
    """

    endpoint: float
    token_values: list[float]


def token_logps(
    model: PreTrainedModel,
    conversations: Sequence[Encoded],
    pad: int,
    batch_size: int,
    label: str | None = "Reference log-probabilities",
) -> list[list[float]]:
    """Log-probability of each response token under a frozen model, nats, computed in float32.

    Args:
        model: causal language model in evaluation mode.
        conversations: tokenised prompts and responses.
        pad: id to pad with; its positions are masked.
        batch_size: conversations per forward; they are bucketed by length.
        label: of the progress bar; none shows none.

    Returns:
        One list per conversation, as long as its response ids.
    """

    def forward(batch: list[Encoded], ids: Tensor, attention: Tensor, ends: Tensor) -> list[list[float]]:
        logits = model(input_ids=ids, attention_mask=attention, use_cache=False).logits
        logps = -F.cross_entropy(logits[:, :-1].float().transpose(1, 2), ids[:, 1:], reduction="none")
        return [logps[row, len(item.prompt_ids) - 1 : _length(item) - 1].tolist() for row, item in enumerate(batch)]

    return _in_buckets(conversations, pad, batch_size, model.device, forward, label)


def endpoint_rewards(
    model: PreTrainedModel, conversations: Sequence[Encoded], pad: int, batch_size: int, reward: HybridReward
) -> list[float]:
    """Calibrated reward of each response at its endpoint, from the model's states, without the LM head.

    Arguments as in :func:`read_rewards`.
    """
    decoder, _, _ = find_decoder(model)

    def forward(batch: list[Encoded], ids: Tensor, attention: Tensor, ends: Tensor) -> list[float]:
        with LayerStates(model, positions=ends) as endpoint:
            decoder(input_ids=ids, attention_mask=attention, use_cache=False)
        return reward.calibrated(reward(endpoint.stacked())).tolist()

    return _in_buckets(conversations, pad, batch_size, model.device, forward, None)


def token_log_odds(
    model: PreTrainedModel, conversations: Sequence[Encoded], pad: int, batch_size: int
) -> list[list[float]]:
    """Log-odds of the second label after each response token, under a token-classification model of two labels.

    Arguments and shape as in :func:`token_logps`. The value of token y_t is read at its own place: after consuming it.
    """

    def forward(batch: list[Encoded], ids: Tensor, attention: Tensor, ends: Tensor) -> list[list[float]]:
        logits = model(input_ids=ids, attention_mask=attention).logits.float()
        odds = logits[..., 1] - logits[..., 0]
        return [odds[row, len(item.prompt_ids) : _length(item)].tolist() for row, item in enumerate(batch)]

    return _in_buckets(conversations, pad, batch_size, model.device, forward, "Token rewards")


def read_rewards(
    model: PreTrainedModel,
    conversations: Sequence[Encoded],
    pad: int,
    batch_size: int,
    reward: HybridReward,
    token_reward: HybridReward,
) -> list[Rewards]:
    """Rewards of each response from the frozen model's states, without the LM head.

    Args:
        model: the base model that the rewards were fitted on.
        conversations: tokenised prompts and responses.
        pad: id to pad with; its positions are masked.
        batch_size: conversations per forward; they are bucketed by length.
        reward: read at the endpoint and calibrated.
        token_reward: read after every response token.
    """
    decoder, _, _ = find_decoder(model)

    def forward(batch: list[Encoded], ids: Tensor, attention: Tensor, ends: Tensor) -> list[Rewards]:
        with ExitStack() as stack:
            endpoint = stack.enter_context(LayerStates(model, positions=ends))
            prefix = stack.enter_context(LayerStates(model, transform=token_reward.probe))
            decoder(input_ids=ids, attention_mask=attention, use_cache=False)
        rewards = reward.calibrated(reward(endpoint.stacked())).tolist()
        values = token_reward.combine(prefix.stacked())
        spans = [slice(len(item.prompt_ids), _length(item)) for item in batch]
        return [Rewards(rewards[row], values[row, span].tolist()) for row, span in enumerate(spans)]

    return _in_buckets(conversations, pad, batch_size, model.device, forward, "Rewards")


@torch.inference_mode()
def _in_buckets(
    conversations: Sequence[Encoded],
    pad: int,
    batch_size: int,
    device: torch.device,
    forward: Callable[[list[Encoded], Tensor, Tensor, Tensor], list[Result]],
    label: str | None,
) -> list[Result]:
    """Run ``forward`` on right-padded batches of like length and put the results back in order."""
    order = sorted(range(len(conversations)), key=lambda index: (_length(conversations[index]), index))
    results: dict[int, Result] = {}
    for start in tqdm(range(0, len(order), batch_size), desc=label, unit="batch", mininterval=5, disable=label is None):
        members = order[start : start + batch_size]
        batch = [conversations[index] for index in members]
        ids, attention, ends = (tensor.to(device) for tensor in _right_padded(batch, pad))
        results.update(zip(members, forward(batch, ids, attention, ends), strict=True))
    return [results[index] for index in range(len(conversations))]


def _right_padded(batch: list[Encoded], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    width = max(map(_length, batch))
    ids = torch.tensor([item.prompt_ids + item.response_ids + [pad] * (width - _length(item)) for item in batch])
    lengths = torch.tensor([_length(item) for item in batch])
    attention = (torch.arange(width) < lengths[:, None]).long()
    return ids, attention, lengths - 1


def _length(item: Encoded) -> int:
    return len(item.prompt_ids) + len(item.response_ids)
