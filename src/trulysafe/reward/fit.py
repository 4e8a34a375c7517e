"""Fit the hybrid reward on pairs of safe and unsafe states (RBRM, section on the hybrid reward model).

Two things are ours, both measured in docs/findings/reward_on_llama2_states.md. *Crossed pairs*: a pair of one prompt
teaches differences within a prompt only, but label confidence and masks read rewards of different prompts against one
zero, so each epoch sets every safe response against a random unsafe one. *Standardisation*: Adam's steps do not shrink
with the states, so a learning rate means something only for states of a known size.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import Parameter

from trulysafe.common.errors import UserError
from trulysafe.common.ids import stable_seed
from trulysafe.reward.calibration import calibrate, set_standardisation
from trulysafe.reward.evaluate import pair_accuracy
from trulysafe.reward.model import HybridReward, reward_margin_loss
from trulysafe.reward.options import FitOptions
from trulysafe.reward.stack import set_stack
from trulysafe.reward.states import group_codes, paired_states, split_rows

STRENGTH = 0.01
"""Inverse regularisation C of the logistic regressions, on standardised features."""


def fit_hybrid_reward(
    safe_states: Any, unsafe_states: Any, *, groups: Sequence[Any] | None = None, seed: int = 0, **options: Any
) -> HybridReward:
    """Fit probes and gates by ``-log sigmoid(r_safe - r_unsafe - margin)``, with Adam (betas 0.9, 0.999).

    Epochs, learning rate, weight decay, margin and 90/10 split are RBRM's; standardisation and calibration are ours.

    Args:
        safe_states, unsafe_states: pooled states of the responses, array or tensor [N, L, D], row i paired with row i.
        groups: one label per pair; pairs of one group (prompt, duplicates) are never split between training and
            validation.
        seed: of the initial values, the order and the split.
        options: fields of :class:`trulysafe.reward.options.FitOptions`, which says what each does.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        UserError: states that are not paired, finite and enough, an option out of range, or a fit that diverges.
    """
    safe, unsafe = paired_states(safe_states, unsafe_states)
    how = FitOptions(**options)
    codes = group_codes(groups, len(safe))
    train, held_out = split_rows(codes, how.validation_share, seed)
    generator = torch.Generator().manual_seed(stable_seed("hybrid reward", seed))
    with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten
        model = HybridReward(*safe.shape[1:])
    model.reset_parameters(generator)
    set_standardisation(model, torch.cat([safe[train], unsafe[train]]), how.standardise)
    pairs, validation = ([model.standardised(side[rows]) for side in (safe, unsafe)] for rows in (train, held_out))
    if how.initialise == "probes":
        _set_probes(model, *pairs)
    zero = set_stack(model, pairs[0], pairs[1], codes[train]) if how.initialise == "stack" else 0.0
    for parameters, probes_only in _stages(model, how):
        optimiser = torch.optim.Adam(parameters, how.learning_rate, (0.9, 0.999), weight_decay=how.weight_decay)
        best: tuple[tuple[float, float], dict[str, Tensor]] = (-np.inf, -np.inf), {}
        for _ in range(how.epochs):
            for rows in _batches(len(train), how, generator):
                good, bad = (_outputs(model, side[row], probes_only) for side, row in zip(pairs, rows, strict=True))
                model.zero_grad()
                # in the first of two stages each layer's probe has its own loss: a sum, so that they share no gradient
                reward_margin_loss(good, bad, how.margin).mean(dim=0).sum().backward()
                optimiser.step()
            if how.early_stopping and not probes_only and (score := _score(model, validation, how)) > best[0]:
                best = score, {name: value.detach().clone() for name, value in model.named_parameters()}
        model.load_state_dict(best[1], strict=False)
    model.zero_grad()
    model.eval()
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        do = "Lower the learning rate, or set standardise to global."
        set_to = f"learning_rate={how.learning_rate} and standardise={how.standardise}"
        raise UserError(f"reward: the fit diverged with {set_to}. {do}")
    if how.calibrate and how.closed:
        model.offset.fill_(zero)
    elif how.calibrate:
        calibrate(model, safe[held_out], unsafe[held_out])
    return model


def fit_token_reward(
    safe_tokens: Any, unsafe_tokens: Any, *, groups: Sequence[Any] | None = None, **options: Any
) -> HybridReward:
    """Fit a hybrid reward on states of response tokens: endpoint probes are out of distribution in mid-response.

    Args:
        safe_tokens, unsafe_tokens: states of sampled tokens, [N, k, L, D], token i paired with token i
            (:func:`trulysafe.models.representations.extract_tokens`).
        groups: one label per pair of responses; a response is never split between training and validation.
        options: of :func:`fit_hybrid_reward`. ``calibrate`` is off by default: token rewards are centred and scaled by
            constants of the training split instead (:mod:`trulysafe.reward.token_scale`).
    """
    if safe_tokens.ndim != 4 or safe_tokens.shape != unsafe_tokens.shape:
        found = f"states of shape {tuple(safe_tokens.shape)} and {tuple(unsafe_tokens.shape)}"
        raise UserError(f"token reward: {found}; both must be [pairs, tokens, layers, width].")
    pairs, tokens = safe_tokens.shape[:2]
    repeated = np.repeat(np.arange(pairs) if groups is None else np.asarray(groups), tokens).tolist()
    safe, unsafe = (side.reshape(pairs * tokens, *side.shape[2:]) for side in (safe_tokens, unsafe_tokens))
    return fit_hybrid_reward(safe, unsafe, groups=repeated, **{"calibrate": False, **options})


def classifier(safe: np.ndarray, unsafe: np.ndarray, strength: float = STRENGTH) -> Pipeline:
    """Fit an L2-regularised logistic regression (``strength`` is C) on standardised features [N, features], safe = 1.
    Where features outnumber rows they are first rotated into the span of the rows: the penalty is blind to rotations,
    so the solution is the same and found many times faster. ``decision_function`` gives log-odds of a safe response."""
    rows, labels = np.concatenate([safe, unsafe]), np.repeat([1, 0], [len(safe), len(unsafe)])
    rotation = [KernelPCA(kernel="linear", eigen_solver="dense")] if rows.shape[1] > len(rows) else []
    return make_pipeline(StandardScaler(), *rotation, LogisticRegression(C=strength, max_iter=1000)).fit(rows, labels)


def layer_probes(safe: np.ndarray, unsafe: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each layer's logistic regression as weights [L, D] and biases [L] on the states [N, L, D] as they are given."""
    weights, biases = np.empty(safe.shape[1:]), np.empty(safe.shape[1])
    for layer in range(safe.shape[1]):
        scaler, *rotation, regression = fitted = classifier(safe[:, layer], unsafe[:, layer])
        weight = regression.coef_[0]
        for rotated in rotation:  # back into features, over the coefficient of each training row
            standard = scaler.transform(np.concatenate([safe[:, layer], unsafe[:, layer]]))
            weight = standard.T @ (rotated.eigenvectors_ @ (weight / np.sqrt(rotated.eigenvalues_)))
        weights[layer] = weight / scaler.scale_
        biases[layer] = fitted.decision_function(safe[:1, layer])[0] - safe[0, layer] @ weights[layer]
    return weights, biases


def _set_probes(model: HybridReward, safe: Tensor, unsafe: Tensor) -> None:
    """Start from each layer's own probe and equal gates; states [N, L, D] are standardised."""
    weights, biases = layer_probes(safe.double().numpy(), unsafe.double().numpy())
    share = 2 / model.num_layers  # a gate of zeros lets half of each probe through
    with torch.no_grad():
        model.probe_weight.copy_(torch.as_tensor(weights) * share)
        model.probe_bias.copy_(torch.as_tensor(biases) * share)
        model.gate.zero_()


def _stages(model: HybridReward, how: FitOptions) -> list[tuple[list[Parameter], bool]]:
    """Parameters that each stage moves, and whether it fits the probes apart from the gates."""
    probes, gates = [model.probe_weight, model.probe_bias], [model.gate]
    if how.two_stage:
        return [(probes, True), (gates, False)]
    moves = {"none": [], "probes": probes, "gates": gates, "all": [*probes, *gates]}[how.moves]
    return [(moves, False)] if moves else []


def _batches(count: int, how: FitOptions, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of the safe and of the unsafe responses that are set against each other, batch by batch, for one epoch."""
    order = torch.randperm(count, generator=generator)
    other = torch.randperm(count, generator=generator) if how.pairing == "crossed" else order
    return zip(order.split(how.batch_size), other.split(how.batch_size), strict=True)


def _outputs(model: HybridReward, standard: Tensor, probes_only: bool) -> Tensor:
    scores = model.scores(standard)
    return scores if probes_only else model.combine(scores)[:, None]


@torch.no_grad()
def _score(model: HybridReward, pairs: Sequence[Tensor], how: FitOptions) -> tuple[float, float]:
    """Accuracy on the validation pairs that stops early, and the loss turned round, which decides ties."""
    safe, unsafe = (_outputs(model, side, probes_only=False)[:, 0] for side in pairs)
    loss = float(reward_margin_loss(safe, unsafe, how.margin).mean())
    return pair_accuracy(safe.numpy(), unsafe.numpy())[str(how.early_stopping)], -loss
