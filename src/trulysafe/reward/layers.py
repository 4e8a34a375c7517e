"""What each layer knows: accuracy of a probe, principal components of both classes, and divergence between them (RBRM's figure).

RBRM's released script swaps the legend of the classes; here every row names its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import gaussian_kde
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from trulysafe.errors import UserError
from trulysafe.reward.baselines import single_layer
from trulysafe.reward.crossval import cross_validated
from trulysafe.reward.evaluate import ranked, signs
from trulysafe.reward.states import group_codes, paired_states
from trulysafe.stats import interval


def layer_analysis(
    safe_states: Any,
    unsafe_states: Any,
    *,
    risks: Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    layers: Sequence[int] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """Analyse both classes in every layer.

    Args:
        safe_states: pooled states [N, L, D].
        unsafe_states: the same; row i is paired with row i.
        risks: risk class of each pair; accuracies are then given per class too.
        groups: one label per pair; a group is never split between fit and test, and is the unit of the interval.
        layers: what to call the layers; 1..L if not given.
        folds: of the cross-validation.
        seed: of the folds.

    Returns:
        Tidy tables. ``accuracy``: layer, risk (``all`` first), accuracy (share of responses classed right by a logistic
        regression on the layer's states, cross-validated), soft (share of pairs ranked right), auc, n (pairs), ci_low, ci_high
        (of the accuracy). ``pca``: layer, label (safe, unsafe), row, pc1, pc2, fitted on both classes together. ``kl``: layer,
        kl_safe_unsafe, kl_unsafe_safe (nats), between Gaussian kernel density estimates on the two components.

    Raises:
        UserError: states that are not paired and finite, or labels that do not match them.
    """
    safe, unsafe = (side.numpy() for side in paired_states(safe_states, unsafe_states))
    names = list(range(1, safe.shape[1] + 1)) if layers is None else list(layers)
    if len(names) != safe.shape[1]:
        raise UserError(f"layer analysis: {len(names)} layer names for {safe.shape[1]} layers; give one per layer.")
    if risks is not None and len(risks) != len(safe):
        raise UserError(f"layer analysis: {len(risks)} risk classes for {len(safe)} pairs; give one per pair.")
    codes = group_codes(groups, len(safe))
    accuracy, components, divergence = [], [], []
    for index, name in enumerate(names):
        rewards = cross_validated(safe, unsafe, single_layer(index), codes, folds=folds, seed=seed)
        accuracy += [{"layer": name, **row} for row in _accuracy_rows(rewards, risks, codes)]
        points = principal_components(safe[:, index], unsafe[:, index])
        components += [
            {"layer": name, "label": label, "row": row, "pc1": pc1, "pc2": pc2}
            for label, side in zip(("safe", "unsafe"), points, strict=True)
            for row, (pc1, pc2) in enumerate(side.tolist())
        ]
        forth, back = kernel_divergence(points[0], points[1]), kernel_divergence(points[1], points[0])
        divergence.append({"layer": name, "kl_safe_unsafe": forth, "kl_unsafe_safe": back})
    return {"accuracy": pd.DataFrame(accuracy), "pca": pd.DataFrame(components), "kl": pd.DataFrame(divergence)}


def principal_components(safe: np.ndarray, unsafe: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First two principal components of both classes together: two arrays [N, D] -> two arrays [N, 2]."""
    points = PCA(n_components=2, svd_solver="full").fit_transform(np.concatenate([safe, unsafe]))
    return points[: len(safe)], points[len(safe) :]


def kernel_divergence(p_points: np.ndarray, q_points: np.ndarray) -> float:
    """Kullback-Leibler divergence KL(p || q) in nats between Gaussian kernel density estimates, by Monte Carlo over p's points.

    Each point is left out of its own density, as its own kernel would count it as a certainty.

    Args:
        p_points: shape [N, dimensions].
        q_points: shape [M, dimensions].

    Returns:
        The estimate; it can fall a little below 0 where both densities agree. NaN where the points do not span the plane.
    """
    try:
        p_density, q_density = gaussian_kde(p_points.T), gaussian_kde(q_points.T)
    except np.linalg.LinAlgError:
        return float("nan")
    count = len(p_points)
    own = np.linalg.det(2 * np.pi * p_density.covariance) ** -0.5  # density of a point's own kernel at the point
    left_out = (count * p_density(p_points.T) - own) / (count - 1)
    log_p = np.log(np.maximum(left_out, np.finfo(float).tiny))
    return float(np.mean(log_p - q_density.logpdf(p_points.T)))


def _accuracy_rows(rewards: pd.DataFrame, risks: Sequence[str] | None, codes: np.ndarray) -> list[dict[str, Any]]:
    rows = {"all": np.full(len(rewards), True)}
    if risks is not None:
        rows |= {risk: np.asarray(risks) == risk for risk in sorted(set(risks))}
    result = []
    for risk, keep in rows.items():
        safe, unsafe = rewards["safe_reward"].to_numpy()[keep], rewards["unsafe_reward"].to_numpy()[keep]
        # both responses of a pair, and all pairs of a group, stand and fall together
        found = interval(signs(safe, unsafe).ravel(), families=np.tile(codes[keep], 2))
        soft = float(ranked(safe, unsafe).mean())
        auc = float(roc_auc_score(np.repeat([1, 0], keep.sum()), np.concatenate([safe, unsafe])))
        result.append(
            {
                "risk": risk,
                "accuracy": found.value,
                "soft": soft,
                "auc": auc,
                "n": int(keep.sum()),
                "ci_low": found.low,
                "ci_high": found.high,
            }
        )
    return result
