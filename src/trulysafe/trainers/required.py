"""What a method needs of its trainer and of the data set, refused before anything is loaded."""

from __future__ import annotations

from typing import Any

from trulysafe.errors import UserError
from trulysafe.losses import SHIFTED_LOSSES
from trulysafe.methods import Method


def has_column(dataset: Any, column: str) -> bool:
    """Whether a data set is there and has a column."""
    return dataset is not None and column in (getattr(dataset, "column_names", None) or [])


def check_required(method: Method, dataset: Any, reward_model: Any, args: Any) -> None:
    """Refuse a method whose reward, columns or arguments are missing.

    Args:
        method: to train by.
        dataset: training or evaluation set; none is accepted.
        reward_model: the fitted hybrid reward, if one is given.
        args: TRL's arguments, if they are given.

    Raises:
        UserError: names what is missing and what to give.
    """
    confidence, mask = method.confidence, method.mask
    if method.reads_policy_states and reward_model is None:
        raise UserError(
            "confidence.kind 'label' with states 'policy' needs reward_model: a fitted HybridReward of the same base model."
        )
    if confidence.kind == "label" and confidence.states == "reference" and not has_column(dataset, "chosen_reward"):
        raise UserError(
            "confidence.states 'reference' needs the dataset columns chosen_reward and rejected_reward (calibrated rewards)."
        )
    if mask.rule != "none" and not has_column(dataset, "chosen_token_rewards"):
        if has_column(dataset, "chosen_ref_token_logps"):
            raise UserError(
                "a token mask needs the columns chosen_token_rewards and rejected_token_rewards beside chosen_ref_token_logps and "
                "rejected_ref_token_logps. Add them, or leave out both kinds to have them computed from the reference model."
            )
        if reward_model is None or mask.token_rewards != "hybrid":
            raise UserError(
                "a token mask needs the dataset columns chosen_token_rewards and rejected_token_rewards, or, for "
                "token_rewards 'hybrid', reward_model: a fitted HybridReward of the same base model."
            )
    if args is None and method.loss in SHIFTED_LOSSES:
        raise UserError(
            f"loss: {method.loss!r} computes log-probabilities under the reference before training. Give args (a DPOConfig)."
        )
