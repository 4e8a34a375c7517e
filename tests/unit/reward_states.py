"""Random reward models, and Gaussian states of safe and unsafe responses."""

from __future__ import annotations

import torch

from trulysafe.reward.model import HybridReward

LAYERS, WIDTH = 3, 5


def random_reward(seed: int = 0) -> HybridReward:
    """A reward model whose every parameter and buffer differs from the neutral one."""
    generator = torch.Generator().manual_seed(seed)
    model = HybridReward(LAYERS, WIDTH)
    model.reset_parameters(generator)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(noise.exp() if name in ("scale", "temperature") else noise)
    return model


def pairs(
    count: int = 120, shift: float = 0.7, seed: int = 0, layers: int = LAYERS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian states; safe ones lie ``shift`` along a random direction of each layer."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(layers, WIDTH, generator=torch.Generator().manual_seed(99))
    safe, unsafe = torch.randn(2, count, layers, WIDTH, generator=generator)
    return safe + shift * direction, unsafe - shift * direction
