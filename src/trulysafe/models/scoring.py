"""Forwards of a frozen model over given conversations: log-probabilities and log-odds of tokens, in batches of like
length.

They are computed once per pair table and shared by all experiments that use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from trulysafe.models.tokens import Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Result = TypeVar("Result")


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
        return [logps[row, len(item.prompt_ids) - 1 : length(item) - 1].tolist() for row, item in enumerate(batch)]

    return in_buckets(conversations, pad, batch_size, model.device, forward, label)


def token_log_odds(
    model: PreTrainedModel, conversations: Sequence[Encoded], pad: int, batch_size: int
) -> list[list[float]]:
    """Log-odds of the second label after each response token, under a token-classification model of two labels.

    Arguments and shape as in :func:`token_logps`. The value of token y_t is read at its own place: after consuming it.
    """

    def forward(batch: list[Encoded], ids: Tensor, attention: Tensor, ends: Tensor) -> list[list[float]]:
        logits = model(input_ids=ids, attention_mask=attention).logits.float()
        odds = logits[..., 1] - logits[..., 0]
        return [odds[row, len(item.prompt_ids) : length(item)].tolist() for row, item in enumerate(batch)]

    return in_buckets(conversations, pad, batch_size, model.device, forward, "Token rewards")


@torch.inference_mode()
def in_buckets(
    conversations: Sequence[Encoded],
    pad: int,
    batch_size: int,
    device: torch.device,
    forward: Callable[[list[Encoded], Tensor, Tensor, Tensor], list[Result]],
    label: str | None,
) -> list[Result]:
    """Run ``forward`` on right-padded batches of like length and put the results back in order.

    Args:
        conversations: tokenised prompts and responses.
        pad: id to pad with; its positions are masked.
        batch_size: conversations per forward.
        device: where the tensors go.
        forward: given the conversations of a batch, their ids and attention [B, T] and the places of their last tokens
            [B], returns a result for each.
        label: of the progress bar; none shows none.
    """
    order = sorted(range(len(conversations)), key=lambda index: (length(conversations[index]), index))
    results: dict[int, Result] = {}
    for start in tqdm(range(0, len(order), batch_size), desc=label, unit="batch", mininterval=5, disable=label is None):
        members = order[start : start + batch_size]
        batch = [conversations[index] for index in members]
        ids, attention, ends = (tensor.to(device) for tensor in _right_padded(batch, pad))
        results.update(zip(members, forward(batch, ids, attention, ends), strict=True))
    return [results[index] for index in range(len(conversations))]


def _right_padded(batch: list[Encoded], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    width = max(map(length, batch))
    ids = torch.tensor([item.prompt_ids + item.response_ids + [pad] * (width - length(item)) for item in batch])
    lengths = torch.tensor([length(item) for item in batch])
    attention = (torch.arange(width) < lengths[:, None]).long()
    return ids, attention, lengths - 1


def length(item: Encoded) -> int:
    """Tokens of a conversation, prompt and response."""
    return len(item.prompt_ids) + len(item.response_ids)
