"""What a method needs of its trainer and of the data set, refused before anything is loaded."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from trulysafe.common.errors import UserError
from trulysafe.methods.method import SHIFTED_LOSSES, Method
from trulysafe.reward.model import HybridReward

_REPLACED = {
    "loss_type": "choose the loss by method=Method(loss=...)",
    "loss_weights": "a method has one loss",
    "label_smoothing": "use method=Method(confidence=Confidence(kind='fixed', value=1 - label_smoothing))",
    "ld_alpha": "length desensitisation is not offered",
    "use_weighting": "choose label confidence by method",
    "f_divergence_type": "the divergence is the reverse KL",
    "router_aux_loss_coef": "auxiliary losses of mixtures of experts are not added",
}
"""Arguments of TRL's DPOConfig that its own loss reads, and what takes their place."""


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
    _check_arguments(args)
    if not isinstance(reward_model, HybridReward | None):
        raise UserError(
            f"reward_model: {type(reward_model).__name__} is not a HybridReward. Give what fit_hybrid_reward returns, or "
            "HybridReward.from_pretrained(folder)."
        )
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
        if mask.form != "level":
            raise UserError(
                f"mask.form: {mask.form!r} is not read from reward_model. Give the columns chosen_token_rewards and rejected_token_rewards."
            )
    if args is None and method.loss in SHIFTED_LOSSES:
        raise UserError(
            f"loss: {method.loss!r} computes log-probabilities under the reference before training. Give args (a DPOConfig)."
        )


def check_fits(reward: HybridReward, model: Any) -> None:
    """Refuse a reward of a model of another shape.

    Raises:
        UserError: layers or width differ; says both.
    """
    config = model.config.get_text_config()
    layers, width = config.num_hidden_layers, config.hidden_size
    if (reward.num_layers, reward.hidden_size) != (layers, width):
        raise UserError(
            f"reward_model: made for {reward.num_layers} layers of width {reward.hidden_size}, but the model has {layers} of width "
            f"{width}. Fit a reward on the states of this model."
        )


def _check_arguments(args: Any) -> None:
    """Refuse arguments of TRL that its own loss would read: this one reads the method's."""
    known = {field.name: field for field in fields(args)} if is_dataclass(args) else {}
    for name, instead in _REPLACED.items():
        if name in known and getattr(args, name) != _default(known[name]):
            raise UserError(f"{name}: {getattr(args, name)!r} would have no effect. Leave it out; {instead}.")


def _default(field: Field) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
