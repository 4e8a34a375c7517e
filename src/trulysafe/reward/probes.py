"""Logistic regressions on hidden states: single layers, for comparison, and a start for the hybrid reward's probes."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.decomposition import KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from trulysafe.reward.model import HybridReward

STRENGTH = 0.01
"""Inverse regularisation C of the logistic regressions, on standardised features."""


def classifier(safe: np.ndarray, unsafe: np.ndarray, strength: float = STRENGTH) -> Pipeline:
    """Fit an L2-regularised logistic regression (``strength`` is C) on standardised features [N, features], safe = 1.

    Where features outnumber rows they are first rotated into the span of the rows: the penalty is blind to rotations,
    so the solution is the same and found many times faster. ``decision_function`` gives log-odds of a safe response.
    """
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


def set_probes(model: HybridReward, safe: Tensor, unsafe: Tensor) -> None:
    """Start from each layer's own probe and equal gates; states [N, L, D] are standardised."""
    weights, biases = layer_probes(safe.double().numpy(), unsafe.double().numpy())
    share = 2 / model.num_layers  # a gate of zeros lets half of each probe through
    with torch.no_grad():
        model.probe_weight.copy_(torch.as_tensor(weights) * share)
        model.probe_bias.copy_(torch.as_tensor(biases) * share)
        model.gate.zero_()
