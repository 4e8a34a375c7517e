"""How each layer tells the classes apart: principal components, and the divergence between them (RBRM's figure).

RBRM's released script swaps the legend of the classes; here every row names its class.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import gaussian_kde
from sklearn.decomposition import PCA

from trulysafe.reward.states import paired_states


def layer_analysis(safe_states: Any, unsafe_states: Any) -> dict[str, pd.DataFrame]:
    """Components and divergence of both classes in every layer; pooled states [N, L, D], row i paired with row i.
    ``pca``: layer (from 1), label (safe, unsafe), row, pc1, pc2, fitted on both classes together. ``kl``: layer,
    kl_safe_unsafe, kl_unsafe_safe (nats), between kernel density estimates on the two components."""
    safe, unsafe = (side.numpy() for side in paired_states(safe_states, unsafe_states))
    components, divergence = [], []
    for layer in range(1, safe.shape[1] + 1):
        points = principal_components(safe[:, layer - 1], unsafe[:, layer - 1])
        components += [
            {"layer": layer, "label": label, "row": row, "pc1": pc1, "pc2": pc2}
            for label, side in zip(("safe", "unsafe"), points, strict=True)
            for row, (pc1, pc2) in enumerate(side.tolist())
        ]
        forth, back = kernel_divergence(points[0], points[1]), kernel_divergence(points[1], points[0])
        divergence.append({"layer": layer, "kl_safe_unsafe": forth, "kl_unsafe_safe": back})
    return {"pca": pd.DataFrame(components), "kl": pd.DataFrame(divergence)}


def principal_components(safe: np.ndarray, unsafe: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First two principal components of both classes together: two arrays [N, D] -> two arrays [N, 2]."""
    points = PCA(n_components=2, svd_solver="full").fit_transform(np.concatenate([safe, unsafe]))
    return points[: len(safe)], points[len(safe) :]


def kernel_divergence(p_points: np.ndarray, q_points: np.ndarray) -> float:
    """Divergence KL(p || q), nats, of Gaussian kernel density estimates on points [N or M, dimensions]. By Monte Carlo
    over p's points, each left out of its own density, as its own kernel would count it as a certainty. It can fall a
    little below 0 where both densities agree, and is NaN where the points do not span the plane."""
    try:
        p_density, q_density = gaussian_kde(p_points.T), gaussian_kde(q_points.T)
    except np.linalg.LinAlgError:
        return float("nan")
    count = len(p_points)
    own = np.linalg.det(2 * np.pi * p_density.covariance) ** -0.5  # density of a point's own kernel at the point
    left_out = (count * p_density(p_points.T) - own) / (count - 1)
    log_p = np.log(np.maximum(left_out, np.finfo(float).tiny))
    return float(np.mean(log_p - q_density.logpdf(p_points.T)))
