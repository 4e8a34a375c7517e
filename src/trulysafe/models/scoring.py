"""Forwards of a frozen model over given conversations: log-probabilities and log-odds of tokens, in batches of like
length. They are computed once per pair table and shared by all experiments that use it."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from trulysafe.models.tokens import Encoded, length, padded, passes

Result = TypeVar("Result")
Forward = Callable[[list[Encoded], Tensor, Tensor, Tensor], list[Result]]


def token_logps(
    model: Any, conversations: Sequence[Encoded], pad: int, batch_size: int, label: str | None = "Log-probabilities"
) -> list[list[float]]:
    """Log-probability of each response token under a causal language model in evaluation mode, nats, computed in
    float32: one list per conversation, as long as its response ids. Arguments as for :func:`in_buckets`."""

    def forward(batch: list[Encoded], ids: Tensor, attention: Tensor, ends: Tensor) -> list[list[float]]:
        # the head alone is a fifth of a small model, and its logits most of the memory: none where prompts are read
        first = min(len(item.prompt_ids) for item in batch) - 1
        places = torch.arange(first, ids.shape[1] - 1, device=ids.device)
        logits = model(input_ids=ids, attention_mask=attention, use_cache=False, logits_to_keep=places).logits
        logits = logits if logits.shape[1] == len(places) else logits[:, places]  # a family that knows no such argument
        logps = -F.cross_entropy(logits.float().transpose(1, 2), ids[:, first + 1 :], reduction="none")
        spans = (slice(len(item.prompt_ids) - 1 - first, length(item) - 1 - first) for item in batch)
        return [logps[row, span].tolist() for row, span in enumerate(spans)]

    return in_buckets(conversations, pad, batch_size, model.device, forward, label)


def token_outputs(model: Any, conversations: Sequence[Encoded], pad: int, batch_size: int) -> list[list[float]]:
    """What a token-classification model says after each response token: its one output (a critic's value), or of two
    the second less the first. Arguments and shape as in :func:`token_logps`."""

    def forward(batch: list[Encoded], ids: Tensor, attention: Tensor, ends: Tensor) -> list[list[float]]:
        logits = model(input_ids=ids, attention_mask=attention).logits.float()
        said = logits[..., -1] - logits[..., 0] if logits.shape[-1] > 1 else logits[..., 0]
        return [said[row, len(item.prompt_ids) : length(item)].tolist() for row, item in enumerate(batch)]

    return in_buckets(conversations, pad, batch_size, model.device, forward, "Token rewards")


@torch.inference_mode()
def in_buckets(
    conversations: Sequence[Encoded], pad: int, size: int, device: Any, forward: Forward[Result], label: str | None
) -> list[Result]:
    """Run ``forward`` on right-padded batches of like length, at most ``size`` conversations in each
    (:func:`trulysafe.models.tokens.passes`), and put the results back in order.

    ``forward`` is given the conversations of a batch, their ids and attention [B, T] and the places of their last
    tokens [B], on ``device``, and returns a result for each. Positions of ``pad`` are masked; without a ``label`` no
    progress bar is shown.
    """
    lengths = [length(item) for item in conversations]
    order = sorted(range(len(conversations)), key=lambda index: (lengths[index], index))
    results: dict[int, Result] = {}
    for start in tqdm(range(0, len(order), size), desc=label, unit="batch", mininterval=5, disable=label is None):
        for members in passes(order[start : start + size], lengths, torch.device(device).type):
            batch = [conversations[index] for index in members]
            ids, attention = (tensor.to(device) for tensor in padded([item.ids for item in batch], pad))
            results.update(zip(members, forward(batch, ids, attention, attention.sum(dim=1) - 1), strict=True))
    return [results[index] for index in range(len(conversations))]
