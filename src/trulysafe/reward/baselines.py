"""What the hybrid reward must beat: each single layer, the best layer, all layers together without gates.

Every method is a *fitter*: given paired states and groups it returns a *scorer* from states [N, L, D] to rewards [N]
that are positive for responses it takes for safe.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from trulysafe.common.ids import stable_seed
from trulysafe.reward.fit import STRENGTH, classifier, fit_hybrid_reward

Scorer = Callable[[np.ndarray], np.ndarray]
Fitter = Callable[[np.ndarray, np.ndarray, np.ndarray], Scorer]


def single_layer(layer: int, strength: float = STRENGTH) -> Fitter:
    """Logistic regression on one layer's states (from 0)."""
    return _on(lambda states: states[:, layer], strength)


def concatenated(strength: float = STRENGTH) -> Fitter:
    """Logistic regression on the states of all layers side by side."""
    return _on(lambda states: states.reshape(len(states), -1), strength)


def mean_of_layers(safe: np.ndarray, unsafe: np.ndarray, groups: np.ndarray) -> Scorer:
    """Mean of all layers' logistic regressions, in log-odds: the hybrid reward without gates, layers fitted apart."""
    scorers = [single_layer(layer)(safe, unsafe, groups) for layer in range(safe.shape[1])]
    return lambda states: np.mean([scorer(states) for scorer in scorers], axis=0)


def best_layer(safe: np.ndarray, unsafe: np.ndarray, groups: np.ndarray) -> Scorer:
    """The layer that does best on inner folds: the choice is part of the fit, so that it can be validated."""
    return chosen_on_inner_folds({layer: single_layer(layer) for layer in range(safe.shape[1])})(safe, unsafe, groups)


def hybrid(**options: Any) -> Fitter:
    """The calibrated hybrid reward, fitted by :func:`trulysafe.reward.fit.fit_hybrid_reward` with ``options``."""

    def fit(safe: np.ndarray, unsafe: np.ndarray, groups: np.ndarray) -> Scorer:
        model = fit_hybrid_reward(safe, unsafe, groups=groups.tolist(), **options)
        return lambda states: model.calibrated(model(torch.as_tensor(states))).detach().double().numpy()

    return fit


def chosen_on_inner_folds(candidates: Mapping[Any, Fitter], folds: int = 5) -> Fitter:
    """The candidate with the highest mean AUC of inner folds, fitted again on all it is given (ties: the first)."""

    def fit(safe: np.ndarray, unsafe: np.ndarray, groups: np.ndarray) -> Scorer:
        def auc(fitter: Fitter) -> float:
            found = []
            for train, test in grouped_folds(groups, folds, seed=0):  # scores of different fits are not on one scale
                scorer = fitter(safe[train], unsafe[train], groups[train])
                rewards = np.concatenate([scorer(safe[test]), scorer(unsafe[test])])
                found.append(roc_auc_score(np.repeat([1, 0], len(test)), rewards))
            return float(np.mean(found))

        return max(candidates.values(), key=auc)(safe, unsafe, groups)

    return fit


def grouped_folds(groups: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of (training, test) for each fold; a group is in one fold only."""
    splitter = GroupKFold(min(folds, len(np.unique(groups))), shuffle=True, random_state=stable_seed("folds", seed))
    return list(splitter.split(groups, groups=groups))


def _on(features: Callable[[np.ndarray], np.ndarray], strength: float) -> Fitter:
    def fit(safe: np.ndarray, unsafe: np.ndarray, groups: np.ndarray) -> Scorer:
        pipeline = classifier(features(safe), features(unsafe), strength)
        return lambda states: pipeline.decision_function(features(states))

    return fit


BASELINES: dict[str, Fitter] = {
    "best_layer": best_layer,
    "concatenated": chosen_on_inner_folds({strength: concatenated(strength) for strength in (0.0001, 0.001, 0.01)}, 3),
    "mean_of_layers": mean_of_layers,
}
"""What a hybrid reward may be compared with, on its own states; layer and regularisation are chosen on inner folds."""
