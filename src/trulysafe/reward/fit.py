"""Fit the hybrid reward on pairs of safe and unsafe states (RBRM, section on the hybrid reward model).

Two things are ours, both measured in docs/findings/reward_on_llama2_states.md. *Crossed pairs*: a pair of one prompt
teaches differences within a prompt only, but label confidence and masks read rewards of different prompts against one
zero, so each epoch sets every safe response against a random unsafe one. *Standardisation*: Adam's steps do not shrink
with the states, so a learning rate means something only for states of a known size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from trulysafe.common.errors import UserError
from trulysafe.common.ids import stable_seed
from trulysafe.reward.calibration import calibrate as fit_calibration
from trulysafe.reward.evaluate import pair_accuracy
from trulysafe.reward.model import HybridReward, reward_margin_loss
from trulysafe.reward.options import FitOptions
from trulysafe.reward.probes import set_probes
from trulysafe.reward.standardisation import set_standardisation
from trulysafe.reward.states import group_codes, paired_states, split_rows


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

    Epochs, learning rate, weight decay, margin and the 90/10 split are RBRM's; standardisation and calibration are
    ours.

    Args:
        safe_states: pooled states of the safe responses, array or tensor [N, L, D].
        unsafe_states: the same for the unsafe ones; row i is paired with row i.
        epochs: passes over the training pairs, per stage.
        learning_rate: of Adam.
        weight_decay: of Adam (added to the gradient).
        margin: by how much the safe response should win; finite.
        two_stage: train each layer's probe on its own first and the gates second, in place of all together.
        initialise: ``random`` (paper); or ``probes``: each layer's logistic regression (regularised, fitted apart) and
            equal gates, such that the reward starts as the mean of the layers' log-odds.
        trained: parameters that training moves: ``all`` (paper), or ``probes`` or ``gates`` alone, the others staying
            as initialised.
        pairing: ``given`` (paper): a safe response is set against the unsafe one of its own pair. ``crossed``: against
            a random one, drawn anew in each epoch.
        standardise: ``none`` (paper); or centre each feature and divide by one scale for all layers (``global``), one
            per layer (``layer``) or one per feature (``feature``), such that states have the root mean square norm
            ``STATE_NORM`` (with ``global``: averaged over layers). Fitted on the training pairs and stored in the
            model.
        calibrate: fit offset and temperature on the validation pairs.
        validation_share: share of the pairs (or groups) held out, in [0, 1).
        early_stopping: keep the epoch with the best ``soft``, ``hard`` or ``true`` accuracy of the raw reward on the
            validation pairs (ties: the lower loss); ``None`` keeps the last.
        batch_size: pairs per step.
        seed: of the initial values, the order and the split.
        groups: one label per pair; pairs of one group (prompt, duplicates) are never split between training and
            validation.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        UserError: states that are not paired, finite and enough, an option out of range, or a fit that diverges.
    """
    safe, unsafe = paired_states(safe_states, unsafe_states)
    FitOptions(
        pairing=pairing, standardise=standardise, early_stopping=early_stopping, initialise=initialise, trained=trained,
        two_stage=two_stage, calibrate=calibrate, validation_share=validation_share, epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate, weight_decay=weight_decay, margin=margin,
    )  # fmt: skip
    train, held_out = split_rows(group_codes(groups, len(safe)), validation_share, seed)
    generator = torch.Generator().manual_seed(stable_seed("hybrid reward", seed))
    with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten
        model = HybridReward(*safe.shape[1:])
    model.reset_parameters(generator)
    set_standardisation(model, torch.cat([safe[train], unsafe[train]]), standardise)
    pairs = [tuple(model.standardised(side[rows]) for side in (safe, unsafe)) for rows in (train, held_out)]
    if initialise == "probes":
        set_probes(model, *pairs[0])
    for parameters, probes_only in _stages(model, trained, two_stage):
        optimiser = torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.999), weight_decay=weight_decay)
        best = _Best(None if probes_only else early_stopping)
        for _ in range(epochs):
            batches = _batches(len(train), batch_size, pairing, generator)
            _epoch(model, optimiser, pairs[0], batches, margin, probes_only)
            best.see(model, pairs[1], margin)
        best.restore(model)
    model.zero_grad()
    model.eval()
    _refuse_diverged(model, learning_rate, standardise)
    if calibrate:
        fit_calibration(model, safe[held_out], unsafe[held_out])
    return model


def fit_token_reward(
    safe_tokens: Any, unsafe_tokens: Any, *, groups: Sequence[Any] | None = None, **options: Any
) -> HybridReward:
    """Fit a hybrid reward on states of response tokens: endpoint probes are out of distribution in mid-response.

    Args:
        safe_tokens: states of sampled tokens of the safe responses, [N, k, L, D], see
            :func:`trulysafe.models.representations.extract_tokens`; token i is paired with token i of
            ``unsafe_tokens``.
        unsafe_tokens: the same for the unsafe ones.
        groups: one label per pair of responses; a response is never split between training and validation.
        options: of :func:`fit_hybrid_reward`. ``calibrate`` is off by default: token rewards are centred and scaled by
            constants of the training split instead (:mod:`trulysafe.token_rewards`).
    """
    if safe_tokens.ndim != 4 or safe_tokens.shape != unsafe_tokens.shape:
        raise UserError(
            f"token reward: states of shape {tuple(safe_tokens.shape)} and {tuple(unsafe_tokens.shape)}; both must be "
            "[pairs, tokens, layers, width]."
        )
    pairs, tokens = safe_tokens.shape[:2]
    labels = range(pairs) if groups is None else groups
    repeated = [label for label in labels for _ in range(tokens)]
    safe, unsafe = (side.reshape(pairs * tokens, *side.shape[2:]) for side in (safe_tokens, unsafe_tokens))
    return fit_hybrid_reward(safe, unsafe, groups=repeated, **{"calibrate": False, **options})


def _stages(model: HybridReward, trained: str, two_stage: bool) -> list[tuple[list[Parameter], bool]]:
    """Parameters that each stage moves, and whether it fits the probes apart from the gates."""
    probes, gates = [model.probe_weight, model.probe_bias], [model.gate]
    if two_stage:
        return [(probes, True), (gates, False)]
    return [({"probes": probes, "gates": gates, "all": [*probes, *gates]}[trained], False)]


def _batches(count: int, size: int, pairing: str, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of the safe and of the unsafe responses that are set against each other, batch by batch, for one epoch."""
    order = torch.randperm(count, generator=generator)
    other = torch.randperm(count, generator=generator) if pairing == "crossed" else order
    return zip(order.split(size), other.split(size), strict=True)


def _epoch(
    model: HybridReward,
    optimiser: torch.optim.Optimizer,
    pairs: tuple[Tensor, ...],
    batches: Iterator[tuple[Tensor, Tensor]],
    margin: float,
    probes_only: bool,
) -> None:
    """One pass over standardised ``pairs`` (safe and unsafe, each [N, L, D])."""
    for rows in batches:
        chosen, rejected = (_outputs(model, side[row], probes_only) for side, row in zip(pairs, rows, strict=True))
        model.zero_grad()
        # each layer's probe has its own loss in the first of two stages: a sum, so that they do not share a gradient
        reward_margin_loss(chosen, rejected, margin).mean(dim=0).sum().backward()
        optimiser.step()


def _outputs(model: HybridReward, standard: Tensor, probes_only: bool) -> Tensor:
    """Probe outputs [N, L], or rewards as one column [N, 1]."""
    scores = model.scores(standard)
    return scores if probes_only else model.combine(scores)[:, None]


class _Best:
    """The parameters of the best epoch so far, by accuracy and then by loss on the validation pairs."""

    def __init__(self, criterion: str | None) -> None:
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


def _refuse_diverged(model: HybridReward, learning_rate: float, standardise: str) -> None:
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise UserError(
            f"reward: the fit diverged with learning_rate={learning_rate} and standardise={standardise}. Lower the "
            "learning rate, or set standardise to global."
        )
