"""Label confidence: how far the hybrid reward trusts the label of a pair (RBRM, arXiv 2503.10093)."""

import pandas as pd
import torch
from torch import Tensor

from trulysafe.common.errors import UserError


def label_confidence(
    chosen_reward: Tensor, rejected_reward: Tensor, alpha: float = 7.5, floor: float = 0.5, per_pair: bool = False
) -> Tensor:
    """Confidence gamma that the chosen response is the safer one (RBRM, section on confidence DPO).

    ``gamma = max(sigmoid(alpha (s_c - s_r)), floor)`` with ``s = sigmoid(r) - 0.5``, averaged over the batch first
    unless ``per_pair``. The rewards should be centred on 0 (calibrated), as 0 is where the sigmoid is read.

    Args:
        chosen_reward, rejected_reward: of the responses, shape [batch].
        alpha: steepness, finite and > 0; 7.5 in the released code.
        floor: least confidence, in [0, 1]. At 0.5 (paper) a label never flips; at 0 it may, which per pair equals
            swapping the two responses.
        per_pair: one number per pair, which does not depend on the batch, in place of one number per batch (paper).

    Returns:
        Detached confidence: 0-dimensional, or shape [batch] with ``per_pair``.

    Raises:
        UserError: shapes differ, the batch is empty, a reward is not finite, or an option is out of range.
    """
    if chosen_reward.shape != rejected_reward.shape or chosen_reward.dim() != 1 or not chosen_reward.numel():
        shapes = f"rewards of shape {tuple(chosen_reward.shape)} and {tuple(rejected_reward.shape)}"
        do = "give one reward per response, two tensors of the same shape [batch] with at least one pair"
        raise UserError(f"label confidence: {shapes}; {do}.")
    if not 0 < alpha < torch.inf or not 0 <= floor <= 1:
        raise UserError(f"label confidence: {alpha=}, {floor=}; alpha must be above 0 and finite, floor in [0, 1].")
    # half precision would round gamma to steps of 0.004
    dtype = torch.promote_types(chosen_reward.dtype, torch.float32)
    chosen, rejected = (reward.detach().to(dtype) for reward in (chosen_reward, rejected_reward))
    if not (torch.isfinite(chosen).all() and torch.isfinite(rejected).all()):
        raise UserError("label confidence: a reward is NaN or infinite; check the states that it was read from.")
    score = torch.sigmoid(chosen) - torch.sigmoid(rejected)  # the papers' -0.5 on either side cancels
    if not per_pair:
        score = score.mean()
    return torch.sigmoid(alpha * score).clamp(min=floor)


def mean_logged_confidence(log: pd.DataFrame, experiment: str) -> float:
    """Mean gamma of an experiment's runs over all their steps: the constant of a placebo. The log has columns
    experiment, seed, step, name, value; its ``confidence`` is a mean since the run's last entry. UserError: the
    experiment logged no gamma."""
    found = log[(log["experiment"] == experiment) & (log["name"] == "confidence")].dropna(subset=["value"])
    found = found.sort_values(["seed", "step"])
    steps = found.groupby("seed")["step"].diff().fillna(found["step"])
    if found.empty:
        do = "Name one whose method has confidence: {kind: label} and whose mix holds pairs in its reward_scope."
        raise UserError(f"methods.<name>.gamma_of: the runs of {experiment!r} logged no confidence. {do}")
    return float((found["value"] * steps).sum() / steps.sum())
