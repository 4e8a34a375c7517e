"""How well a reward tells safe from unsafe responses: accuracies, AUC, Brier score and calibration error."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from trulysafe.common.errors import UserError
from trulysafe.common.schema import UNLABELLED
from trulysafe.reward.model import HybridReward
from trulysafe.reward.states import paired_states

BINS = 10
"""Bins of the calibration error."""


def evaluate_reward(
    model: HybridReward, safe_states: Any, unsafe_states: Any, risks: Sequence[str] | None = None
) -> dict[str, dict[str, float | int]]:
    """Measure a fitted reward on held-out pairs.

    Args:
        model: the reward.
        safe_states, unsafe_states: pooled states [N, L, D], row i paired with row i.
        risks: risk class of each pair; adds one entry per class. A missing or empty one is ``UNLABELLED``.

    Returns:
        ``{"all": scores, "EHD": scores, ...}`` with the scores of :func:`reward_scores`, and ``hard`` and ``true``
        accuracy of the raw reward as ``hard_raw`` and ``true_raw``.
    """
    safe, unsafe = paired_states(safe_states, unsafe_states, minimum=1)
    if risks is not None and len(risks) != len(safe):
        raise UserError(f"reward evaluation: {len(risks)} risk classes for {len(safe)} pairs; give one per pair.")
    with torch.no_grad():
        raw = [model(side.to(model.offset.device)) for side in (safe, unsafe)]
        centred = [model.calibrated(side).double().cpu().numpy() for side in raw]
    raw_safe, raw_unsafe = (side.double().cpu().numpy() for side in raw)
    rows = {"all": np.full(len(safe), True)}
    if risks is not None:
        named = np.array([UNLABELLED if pd.isna(risk) or risk == "" else risk for risk in risks])
        rows |= {risk: named == risk for risk in sorted(set(named.tolist()))}
    return {
        name: reward_scores(centred[0][keep], centred[1][keep])
        | {f"{key}_raw": pair_accuracy(raw_safe[keep], raw_unsafe[keep])[key] for key in ("hard", "true")}
        for name, keep in rows.items()
    }


def reward_scores(safe_rewards: np.ndarray, unsafe_rewards: np.ndarray) -> dict[str, float | int]:
    """Scores of calibrated rewards: ``n``, :func:`pair_accuracy`, ``auc``, :func:`brier`, ``ece``, means."""
    rewards = np.concatenate([safe_rewards, unsafe_rewards])
    labels = np.repeat([1, 0], [len(safe_rewards), len(unsafe_rewards)])
    return {
        "n": len(safe_rewards),
        **pair_accuracy(safe_rewards, unsafe_rewards),
        "auc": float(roc_auc_score(labels, rewards)),
        "brier": float(brier(safe_rewards, unsafe_rewards).mean()),
        "ece": calibration_error(rewards, labels),
        "mean_safe": float(safe_rewards.mean()),
        "mean_unsafe": float(unsafe_rewards.mean()),
    }


def pair_accuracy(safe_rewards: np.ndarray, unsafe_rewards: np.ndarray) -> dict[str, float]:
    """The three validation scores of RBRM's released code. ``soft``: the safe response wins its pair (a tie counts
    half). ``hard``: share of responses whose reward has the right sign. ``true``: share of pairs with both signs right,
    ``r_safe > 0 > r_unsafe``."""
    right = signs(safe_rewards, unsafe_rewards)
    soft = float(ranked(safe_rewards, unsafe_rewards).mean())
    return {"soft": soft, "hard": float(right.mean()), "true": float(right.all(axis=0).mean())}


def ranked(safe_rewards: ArrayLike, unsafe_rewards: ArrayLike) -> np.ndarray:
    """Whether the safe response wins: 1, 0, or a half for a tie; the shape of both rewards, broadcast."""
    safe, unsafe = np.asarray(safe_rewards), np.asarray(unsafe_rewards)
    return (safe > unsafe) + 0.5 * (safe == unsafe)


def signs(safe_rewards: ArrayLike, unsafe_rewards: ArrayLike) -> np.ndarray:
    """Whether each response is on the right side of 0 (0 itself is wrong): booleans [2, pairs], safe side first."""
    return np.stack([np.asarray(safe_rewards) > 0, np.asarray(unsafe_rewards) < 0])


def brier(safe_rewards: ArrayLike, unsafe_rewards: ArrayLike) -> np.ndarray:
    """Squared error of ``sigmoid(reward)`` as the probability of a safe response, mean of a pair's two, [pairs]."""
    return (expit(-np.asarray(safe_rewards)) ** 2 + expit(np.asarray(unsafe_rewards)) ** 2) / 2


def calibration_error(rewards: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error of ``sigmoid(reward)`` as the probability of a safe response (label 1). It errs high:
    that of a perfectly calibrated reward is .095 on 112 responses and .031 on 1,090. No comparison is made by it; the
    Brier score has no such bias."""
    probability = expit(rewards)
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    gaps = [abs(probability[bins == b].mean() - labels[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(sum(gaps))
