"""The stack: a hybrid reward in closed form, linear probes of the layers joined by fixed weights.

Stacked generalisation (Wolpert 1992) with weights that are not negative (Breiman 1996). Layers are weighed, and zero
and temperature set, by scores of responses whose group the probes did not see: no pair is held out for any of it.
"""

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from trulysafe.reward.calibration import platt
from trulysafe.reward.model import HybridReward

PENALTIES = np.logspace(-3, 3, 13)
"""Ridge penalties to choose from, in units of the mean eigenvalue of the states' inner products."""
SHRINKAGE = 0.3
"""Pull of the layers' weights towards one common weight, in units of a layer's mean sum of squared scores."""


def set_stack(model: HybridReward, safe: Tensor, unsafe: Tensor, groups: np.ndarray) -> float:
    """Make the model the stack of its layers' ridge probes; its raw reward is then in units of log-odds. The model gets
    probes, and gates of zeros, which let half of each probe through. States are as it standardises them, [N, L, D],
    ``groups`` the code of each pair's group, [N]. Returns the reward at which either side is as likely, by the scores
    of groups left out."""
    count, codes = len(safe), np.tile(groups, 2)
    target = np.repeat([1.0, -1.0], count)
    both = torch.cat([safe, unsafe])
    probes = [_ridge(both[:, layer].double().numpy(), target, codes) for layer in range(model.num_layers)]
    weights, biases, scores = (np.stack(part) for part in zip(*probes, strict=True))
    shares = _layer_weights(scores.T, target)
    rewards = shares @ scores
    zero, temperature = platt(rewards[:count], rewards[count:])
    scale = torch.as_tensor(2 * shares / temperature)
    with torch.no_grad():
        model.probe_weight.copy_(scale[:, None] * torch.as_tensor(weights))
        model.probe_bias.copy_(scale * torch.as_tensor(biases))
        model.gate.zero_()
    return zero / temperature


def _ridge(states: np.ndarray, target: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Ridge regression of the target (mean 0) on standardised features of states [rows, D]: weights [D] and bias on the
    states as they are given, and each row's score by the fit without its group [rows]; of the penalty whose such scores
    have the least squared error."""
    mean, spread = states.mean(axis=0), states.std(axis=0)
    usual = float(np.sqrt((spread**2).mean())) or 1.0
    spread = np.where(spread > 1e-3 * usual, spread, usual)  # a feature that varies by rounding only stays small
    features = (states - mean) / spread
    wide = features.shape[1] >= len(features)
    values, vectors = np.linalg.eigh(features @ features.T if wide else features.T @ features)
    kept = values > 1e-10 * values[-1]
    values = values[kept]
    basis = vectors[:, kept] if wide else features @ vectors[:, kept] / np.sqrt(values)
    along = basis.T @ target
    order = np.argsort(groups, kind="stable")
    blocks = np.split(order, np.unique(groups[order], return_index=True)[1][1:])
    best: tuple[float, float, np.ndarray] = (np.inf, 1.0, target)
    for penalty in PENALTIES * values.sum() / len(target):
        shrunk = values / (values + penalty)
        residual, left_out = target - basis @ (shrunk * along), np.empty_like(target)
        for rows in blocks:  # exact: the residual of a linear fit without these rows
            hat = (basis[rows] * shrunk) @ basis[rows].T + 1 / len(target)
            left_out[rows] = np.linalg.solve(np.eye(len(rows)) - hat, residual[rows])
        best = min(best, (float((left_out**2).mean()), float(penalty), target - left_out), key=lambda found: found[0])
    _, penalty, scores = best
    weights = features.T @ (basis @ (along / (values + penalty))) / spread
    return weights, float(-mean @ weights), scores


def _layer_weights(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights [L] of at least 0 by least squares on the layers' scores [rows, L], pulled towards their common one."""
    mean, layers = scores.mean(axis=1), scores.shape[1]
    common = max(float(mean @ target) / (float(mean @ mean) or 1.0), 0.0) / layers
    pull = np.sqrt(SHRINKAGE * (scores**2).sum() / layers) * np.eye(layers)
    weights: np.ndarray = nnls(np.vstack([scores, pull]), np.append(target, common * pull.sum(axis=0)))[0]
    return weights
