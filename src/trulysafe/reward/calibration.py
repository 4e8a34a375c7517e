"""Calibration: the offset and temperature that turn a raw reward into the log-odds of a safe response.

The pairwise margin leaves raw rewards off-centre, yet label confidence reads them against 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from trulysafe.reward.model import HybridReward
from trulysafe.reward.states import paired_states

FLATTEST = 1e-3
"""Least slope of the calibrated reward per standard deviation of the raw one: a reward no better than chance stays near
0."""


def calibrate(model: HybridReward, safe_states: Any, unsafe_states: Any) -> HybridReward:
    """Fit offset and temperature on held-out states, in place, and return the model.

    Args:
        model: a fitted reward model; its parameters stay as they are.
        safe_states: pooled states of safe responses that the model was not trained on, [N, L, D].
        unsafe_states: the same for unsafe ones.
    """
    safe, unsafe = paired_states(safe_states, unsafe_states, minimum=1)
    device = model.offset.device
    with torch.no_grad():
        raw_safe, raw_unsafe = (model(side.to(device)).double().cpu().numpy() for side in (safe, unsafe))
    offset, temperature = platt(raw_safe, raw_unsafe)
    model.offset.fill_(offset)
    model.temperature.fill_(temperature)
    return model


def platt(safe_rewards: np.ndarray, unsafe_rewards: np.ndarray) -> tuple[float, float]:
    """Offset and temperature that minimise the log loss of ``sigmoid((r - offset) / temperature)``, safe = 1 (Platt,
    1999).

    Platt's smoothed targets keep the temperature above 0 where the classes are separable; it is also kept from turning
    the reward round where they are mixed up. 16 rewards a side give at most ``sigmoid = 17/18``.
    """
    rewards = np.concatenate([safe_rewards, unsafe_rewards])
    centre, spread = float(rewards.mean()), float(rewards.std()) or 1.0
    target = np.concatenate(
        [
            np.full(len(safe_rewards), (len(safe_rewards) + 1) / (len(safe_rewards) + 2)),
            np.full(len(unsafe_rewards), 1 / (len(unsafe_rewards) + 2)),
        ]
    )
    # a soft target is a row of each class, weighted
    features = np.tile((rewards - centre) / spread, 2)[:, None]
    labels = np.repeat([1, 0], len(rewards))
    fitted = LogisticRegression(C=np.inf).fit(features, labels, sample_weight=np.concatenate([target, 1 - target]))
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope < FLATTEST:
        return centre, spread / FLATTEST
    return centre - intercept / slope * spread, spread / slope
