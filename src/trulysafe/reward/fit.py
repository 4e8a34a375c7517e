"""Fit the hybrid reward on pairs of safe and unsafe states (RBRM, section on the hybrid reward model).

Two things are ours, both measured in docs/findings/reward_on_llama2_states.md. *Crossed pairs*: a pair of one prompt teaches
differences within a prompt only, but label confidence and masks read rewards of different prompts against one zero, so each epoch sets
every safe response against a random unsafe one. *Standardisation*: Adam's steps do not shrink with the states, so a learning
rate means something only for states of a known size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import GroupShuffleSplit
from torch import Tensor

from trulysafe.errors import UserError, not_accepted
from trulysafe.ids import stable_seed
from trulysafe.reward.calibration import calibrate as fit_calibration
from trulysafe.reward.evaluate import pair_accuracy
from trulysafe.reward.loss import reward_margin_loss
from trulysafe.reward.model import HybridReward
from trulysafe.reward.probes import layer_probes
from trulysafe.reward.states import group_codes, paired_states

STANDARDISATIONS = ("none", "global", "layer", "feature")
PAIRINGS = ("given", "crossed")
STATE_NORM = 8.0
"""Root mean square norm of a standardised state: near that of Llama-2-7B's raw states, averaged over layers, less their mean."""
CRITERIA = ("soft", "hard", "true")
STARTS = ("random", "probes")
TRAINED = ("all", "probes", "gates")


def fit_hybrid_reward(
    safe_states: Any,
    unsafe_states: Any,
    *,
    epochs: int = 50,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    margin: float = 1.0,
    two_stage: bool = False,
    initialise: str = "random",
    trained: str = "all",
    pairing: str = "crossed",
    standardise: str = "global",
    calibrate: bool = True,
    validation_share: float = 0.1,
    early_stopping: str | None = None,
    batch_size: int = 32,
    seed: int = 0,
    groups: Sequence[Any] | None = None,
) -> HybridReward:
    """Fit probes and gates by ``-log sigmoid(r_safe - r_unsafe - margin)``, with Adam (betas 0.9, 0.999).

    Epochs, learning rate, weight decay, margin and the 90/10 split are RBRM's; standardisation and calibration are ours.

    Args:
        safe_states: pooled states of the safe responses, array or tensor [N, L, D].
        unsafe_states: the same for the unsafe ones; row i is paired with row i.
        epochs: passes over the training pairs, per stage.
        learning_rate: of Adam.
        weight_decay: of Adam (added to the gradient).
        margin: by how much the safe response should win.
        two_stage: train each layer's probe on its own first and the gates second, in place of all together.
        initialise: ``random`` (paper); or ``probes``: each layer's logistic regression (regularised, fitted apart) and
            equal gates, such that the reward starts as the mean of the layers' log-odds.
        trained: parameters that training moves: ``all`` (paper), or ``probes`` or ``gates`` alone, the others staying as initialised.
        pairing: ``given`` (paper): a safe response is set against the unsafe one of its own pair. ``crossed``: against a random
            one, drawn anew in each epoch.
        standardise: ``none`` (paper); or centre each feature and divide by one scale for all layers (``global``), one per layer
            (``layer``) or one per feature (``feature``), such that states have the root mean square norm ``STATE_NORM`` (with
            ``global``: averaged over layers). Fitted on the training pairs and stored in the model.
        calibrate: fit offset and temperature on the validation pairs.
        validation_share: share of the pairs (or groups) held out, in [0, 1).
        early_stopping: keep the epoch with the best ``soft``, ``hard`` or ``true`` accuracy of the raw reward on the validation
            pairs (ties: the lower loss); ``None`` keeps the last.
        batch_size: pairs per step.
        seed: of the initial values, the order and the split.
        groups: one label per pair; pairs of one group (prompt, duplicates) are never split between training and validation.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        UserError: states that are not paired, finite and enough, an option out of range, or a fit that diverges.
    """
    safe, unsafe = paired_states(safe_states, unsafe_states)
    _check_choices(pairing, standardise, early_stopping, initialise, trained, two_stage)
    _check_numbers(early_stopping, calibrate, validation_share, epochs, batch_size)
    _check_steps(learning_rate, weight_decay)
    train, held_out = split_rows(group_codes(groups, len(safe)), validation_share, seed)
    generator = torch.Generator().manual_seed(stable_seed("hybrid reward", seed))
    model = HybridReward(*safe.shape[1:])
    model.reset_parameters(generator)
    set_standardisation(model, torch.cat([safe[train], unsafe[train]]), standardise)
    pairs = [tuple(standardised(model, side[rows]) for side in (safe, unsafe)) for rows in (train, held_out)]
    if initialise == "probes":
        set_probes(model, *pairs[0])
    parts = {"probes": [model.probe_weight, model.probe_bias], "gates": [model.gate], "all": list(model.parameters())}
    stages = [parts["probes"], parts["gates"]] if two_stage else [parts[trained]]
    for stage, parameters in enumerate(stages):
        probes_only = two_stage and stage == 0
        optimiser = torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.999), weight_decay=weight_decay)
        best = _Best(model, None if probes_only else early_stopping)
        for _ in range(epochs):
            order = torch.randperm(len(train), generator=generator)
            other = torch.randperm(len(train), generator=generator) if pairing == "crossed" else order
            for rows in zip(order.split(batch_size), other.split(batch_size), strict=True):
                chosen, rejected = (
                    _outputs(model, side[row], probes_only) for side, row in zip(pairs[0], rows, strict=True)
                )
                model.zero_grad()
                # each layer's probe has its own loss in the first of two stages: a sum, so that they do not share a gradient
                reward_margin_loss(chosen, rejected, margin).mean(dim=0).sum().backward()
                optimiser.step()
            best.see(model, pairs[1], margin)
        best.restore(model)
    model.zero_grad()
    model.eval()
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise UserError(
            f"reward: the fit diverged with learning_rate={learning_rate} and standardise={standardise}. Lower the learning rate, or set "
            "standardise to global."
        )
    if calibrate:
        fit_calibration(model, safe[held_out], unsafe[held_out])
    return model


def fit_token_reward(
    safe_tokens: Any, unsafe_tokens: Any, *, groups: Sequence[Any] | None = None, **options: Any
) -> HybridReward:
    """Fit a hybrid reward on states of response tokens: endpoint probes are out of distribution in mid-response.

    Args:
        safe_tokens: states of sampled tokens of the safe responses, [N, k, L, D], see
            :func:`trulysafe.representations.extract_tokens`; token i is paired with token i of ``unsafe_tokens``.
        unsafe_tokens: the same for the unsafe ones.
        groups: one label per pair of responses; a response is never split between training and validation.
        options: of :func:`fit_hybrid_reward`. ``calibrate`` is off by default: token rewards are centred and scaled by constants of
            the training split instead (:mod:`trulysafe.token_rewards`).
    """
    if safe_tokens.ndim != 4 or safe_tokens.shape != unsafe_tokens.shape:
        raise UserError(
            f"token reward: states of shape {tuple(safe_tokens.shape)} and {tuple(unsafe_tokens.shape)}; both must be "
            "[pairs, tokens, layers, width]."
        )
    pairs, tokens = safe_tokens.shape[:2]
    repeated = group_codes(groups, pairs).repeat(tokens).tolist()
    safe, unsafe = (side.reshape(pairs * tokens, *side.shape[2:]) for side in (safe_tokens, unsafe_tokens))
    return fit_hybrid_reward(safe, unsafe, groups=repeated, **{"calibrate": False, **options})


def set_standardisation(model: HybridReward, states: Tensor, how: str) -> None:
    """Set the buffers ``centre`` and ``scale`` of the model from states [N, L, D]; see :func:`fit_hybrid_reward`."""
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


def set_probes(model: HybridReward, safe: Tensor, unsafe: Tensor) -> None:
    """Start from each layer's own probe and equal gates; states [N, L, D] are standardised."""
    weights, biases = layer_probes(safe.double().numpy(), unsafe.double().numpy())
    share = 2 / model.num_layers  # a gate of zeros lets half of each probe through
    with torch.no_grad():
        model.probe_weight.copy_(torch.as_tensor(weights) * share)
        model.probe_bias.copy_(torch.as_tensor(biases) * share)
        model.gate.zero_()


def standardised(model: HybridReward, states: Tensor) -> Tensor:
    """States as the probes see them, [N, L, D]: computed once for all epochs."""
    return (states - model.centre) / model.scale


def _outputs(model: HybridReward, standard: Tensor, probes_only: bool) -> Tensor:
    """Probe outputs [N, L], or rewards as one column [N, 1]."""
    scores = torch.einsum("nld,ld->nl", standard, model.probe_weight) + model.probe_bias
    return scores if probes_only else model.combine(scores)[:, None]


class _Best:
    """The parameters of the best epoch so far, by accuracy and then by loss on the validation pairs."""

    def __init__(self, model: HybridReward, criterion: str | None) -> None:
        self.criterion = criterion
        self.score = (-np.inf, -np.inf)
        self.parameters: dict[str, Tensor] = {}

    def see(self, model: HybridReward, pairs: tuple[Tensor, ...], margin: float) -> None:
        if self.criterion is None:
            return
        with torch.no_grad():
            safe, unsafe = (_outputs(model, side, probes_only=False)[:, 0] for side in pairs)
            loss = float(reward_margin_loss(safe, unsafe, margin).mean())
        score = (pair_accuracy(safe.numpy(), unsafe.numpy())[self.criterion], -loss)
        if score > self.score:
            self.score = score
            self.parameters = {name: value.detach().clone() for name, value in model.named_parameters()}

    def restore(self, model: HybridReward) -> None:
        if self.parameters:
            model.load_state_dict(self.parameters, strict=False)


def split_rows(codes: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and for validation; a group is on one side only."""
    rows = np.arange(len(codes))
    if share == 0:
        return rows, rows[:0]
    if len(np.unique(codes)) < 2:
        raise UserError(
            "reward: all pairs are of one group, so none can be held out. Give finer groups or validation_share: 0."
        )
    splitter = GroupShuffleSplit(1, test_size=share, random_state=stable_seed("reward split", seed))
    return next(splitter.split(rows, groups=codes))


def _check_choices(
    pairing: str, standardise: str, early_stopping: str | None, initialise: str, trained: str, two_stage: bool
) -> None:
    for name, choice, accepted in (
        ("pairing", pairing, PAIRINGS),
        ("standardise", standardise, STANDARDISATIONS),
        ("early_stopping", early_stopping or CRITERIA[0], CRITERIA),
        ("initialise", initialise, STARTS),
        ("trained", trained, TRAINED),
    ):
        if choice not in accepted:
            raise not_accepted(f"reward option {name}", choice, accepted)
    if two_stage and trained != "all":
        raise UserError(
            f"reward options two_stage=True, trained={trained}: two stages train probes and gates in turn. Set trained to all."
        )


def _check_numbers(early_stopping: str | None, calibrate: bool, share: float, epochs: int, batch_size: int) -> None:
    if not 0 <= share < 1:
        raise UserError(f"reward option validation_share: {share}; it must lie in [0, 1).")
    if share == 0 and (calibrate or early_stopping):
        raise UserError(
            "reward option validation_share: 0 leaves no pairs for calibrate and early_stopping. Raise it, or set both off."
        )
    if epochs < 1 or batch_size < 1:
        raise UserError(f"reward options epochs={epochs}, batch_size={batch_size}: both must be at least 1.")


def _check_steps(learning_rate: float, weight_decay: float) -> None:
    for name, value in (("learning_rate", learning_rate), ("weight_decay", weight_decay)):
        if not 0 <= value < np.inf:
            raise UserError(f"reward option {name}: {value}; it must be a finite number, 0 or more.")
