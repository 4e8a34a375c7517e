"""Log-probabilities of responses through TRL's fused head; on a CPU too it scores the response's places alone, as it does on a GPU.

TRL scores every place on devices without Triton, because on some of them another number of places means another compilation. On a CPU
nothing is compiled, and prompts and padding are half of a batch (benchmarks/README.md has the ratio).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from trl.trainer import utils


@contextmanager
def response_places_only() -> Iterator[None]:
    """Let TRL's fused head leave out places whose label is -100 on a CPU too, within the block. Values are those it gives without."""
    everywhere = utils._use_triton

    def compacts(device: torch.device) -> bool:
        return device.type == "cpu" or everywhere(device)

    utils._use_triton = compacts
    try:
        yield
    finally:
        utils._use_triton = everywhere


def token_log_probs(model: Any, input_ids: Tensor, attention_mask: Tensor, completion: Tensor) -> Tensor:
    """Log-probability of each response token given all before it, nats.

    Args:
        model: TRL has given it the fused head.
        input_ids, attention_mask: [rows, tokens].
        completion: 1 on response tokens, [rows, tokens].

    Returns:
        Shape [rows, tokens - 1]: place t holds the token whose log-probability place t of the logits gives; 0 outside the responses.
    """
    labels = input_ids.masked_fill(completion == 0, -100)
    with response_places_only():
        outputs = model(
            input_ids=input_ids, attention_mask=attention_mask, labels=labels, fused_lm_head=True, use_cache=False
        )
    return outputs.log_probs * completion[:, 1:]
