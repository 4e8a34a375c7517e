"""The loss that fits the hybrid reward. Apart from :mod:`trulysafe.methods.losses`: a change of a pair loss is no reason to fit rewards again."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def reward_margin_loss(safe_reward: Tensor, unsafe_reward: Tensor, margin: float = 1.0) -> Tensor:
    """Pairwise loss of the hybrid reward (RBRM): ``-log sigmoid(r_safe - r_unsafe - margin)``.

    Args:
        safe_reward: raw (never calibrated) reward of the safe response, any shape.
        unsafe_reward: raw reward of the unsafe response, same shape.
        margin: by how much the safe response should win; the paper uses 1.

    Returns:
        Loss per pair, same shape.
    """
    return -F.logsigmoid(safe_reward - unsafe_reward - margin)
