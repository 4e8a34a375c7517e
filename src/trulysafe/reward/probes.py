"""Logistic regressions on hidden states: the single layers that the hybrid reward must beat, and a start for its
probes."""

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
    """Fit an L2-regularised logistic regression on standardised features, safe = 1.

    Where features outnumber rows they are first rotated into the span of the rows: the penalty is blind to rotations,
    so the solution is the same and found many times faster.

    Args:
        safe: features of safe responses, [N, features].
        unsafe: the same for unsafe ones, [M, features].
        strength: inverse regularisation C.

    Returns:
        A scikit-learn pipeline; its ``decision_function`` gives log-odds of a safe response.
    """
    rows, labels = np.concatenate([safe, unsafe]), np.repeat([1, 0], [len(safe), len(unsafe)])
    rotation = [KernelPCA(kernel="linear", eigen_solver="dense")] if rows.shape[1] > len(rows) else []
    return make_pipeline(StandardScaler(), *rotation, LogisticRegression(C=strength, max_iter=1000)).fit(rows, labels)


def layer_probes(safe: np.ndarray, unsafe: np.ndarray, strength: float = STRENGTH) -> tuple[np.ndarray, np.ndarray]:
    """Each layer's logistic regression as weights [L, D] and biases [L] on the states [N, L, D] as they are given."""
    weights, biases = np.empty(safe.shape[1:]), np.empty(safe.shape[1])
    for layer in range(safe.shape[1]):
        fitted = classifier(safe[:, layer], unsafe[:, layer], strength)
        scaler, regression = fitted[0], fitted[-1]
        standard = scaler.transform(np.concatenate([safe[:, layer], unsafe[:, layer]]))
        weight = regression.coef_[0]
        if len(fitted) == 3:
            weight = standard.T @ _dual(fitted[1], weight)
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


def _dual(rotation: KernelPCA, weight: np.ndarray) -> np.ndarray:
    """Coefficient of each training row in the weight vector that ``weight`` is in the rotated features."""
    return rotation.eigenvectors_ @ (weight / np.sqrt(rotation.eigenvalues_))
