"""Standardisation of states: centred, and scaled to a known size, so that one learning rate suits every base model."""

from __future__ import annotations

import torch
from torch import Tensor

from trulysafe.reward.model import HybridReward

STATE_NORM = 8.0
"""Root mean square norm of a standardised state: near that of Llama-2-7B's raw states, averaged over layers, less their
mean."""


def set_standardisation(model: HybridReward, states: Tensor, how: str) -> None:
    """Set the buffers ``centre`` and ``scale`` of the model from states [N, L, D]; see
    :func:`trulysafe.reward.fit.fit_hybrid_reward`."""
    if how == "none":
        return
    model.centre.copy_(states.mean(dim=0))
    variance = states.var(dim=0, unbiased=False)
    of_layer = variance.mean(dim=1, keepdim=True).expand_as(variance)
    if how == "feature":  # one that never varies, or by rounding only, takes the scale of its layer
        variance = torch.where(variance > 1e-6 * of_layer, variance, of_layer)
    else:
        variance = of_layer if how == "layer" else of_layer.mean().expand_as(variance)
    variance = torch.where(variance > 0, variance, torch.ones_like(variance))
    model.scale.copy_((variance * model.hidden_size).sqrt() / STATE_NORM)
