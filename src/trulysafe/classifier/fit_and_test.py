"""Choose, fit and test a text classifier so that the reported scores are of the very classifier that is used.

Prompts (with their near-duplicates) are held out by hash. On the rest every feature set gets its strength of penalty by
grouped cross-validation, which also chooses the feature set; all sets, and the baseline, are scored on held-out rows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from trulysafe.classifier.options import FEATURE_SETS, STRENGTHS, TEST_SHARE
from trulysafe.classifier.text_classifier import STRENGTH, TextClassifier, pipeline
from trulysafe.common.errors import UserError
from trulysafe.common.ids import prompt_id, unit_interval
from trulysafe.data.similarity import groups

NEAR_DUPLICATE = 0.85
FOLDS = 3


class Tested(NamedTuple):
    """A fitted classifier, its scores, the held-out rows with all predictions, and their positions among all rows."""

    classifier: TextClassifier
    metrics: dict[str, Any]
    held_out: pd.DataFrame
    rows: np.ndarray

    def add(self, name: str, predicted: Sequence[str]) -> None:
        """Score further predictions of the held-out rows."""
        self.held_out[name] = list(predicted)
        self.metrics["scores"][name] = score(self.held_out["label"].tolist(), list(predicted))


def fit_and_test(
    prompts: Sequence[str],
    texts: Sequence[Any],
    labels: Sequence[str],
    *,
    test_share: float = TEST_SHARE,
    features: Sequence[str] = FEATURE_SETS,
    strengths: Sequence[float] = STRENGTHS,
    where: str = "text classifier",
) -> Tested:
    """Fit on part of the prompts, test on the others.

    Args:
        prompts: of each row; rows of one prompt, and of near-duplicates, are on the same side.
        texts, labels: what the classifier reads, texts or states with ``features`` that take them; what it gives.
        test_share: share of the prompts held out, by hash, in (0, 1).
        features: feature sets to compare; the first is the baseline.
        strengths: inverse penalties to choose from.
        where: what is fitted, for errors.

    Returns the chosen classifier (not refitted on the held-out rows), the metrics (``chosen``, ``strength``,
    ``n_train``, ``scores`` per feature set with their ``cross_validated`` macro-F1), and the held-out rows. UserError:
    fewer than two classes, or nothing to train or test on.
    """
    rows = pd.DataFrame({"text": list(texts), "label": list(labels), "group": prompt_groups(prompts)})
    rows["prompt_id"] = [prompt_id(prompt) for prompt in prompts]
    out = np.array([unit_interval(group, salt="held out") < test_share for group in rows["group"]], dtype=bool)
    train, test = rows[~out], rows[out]
    if train["label"].nunique() < 2 or test.empty:
        found = f"{len(train)} rows of classes {sorted(set(train['label']))} to train on and {len(test)} to test on"
        do = "Give more labelled prompts of at least two classes, or another `test_share`."
        raise UserError(f"{where}: {found} are too few. {do}")
    scores, held_out, fitted = {}, test[["prompt_id", "label"]].reset_index(drop=True), {}
    for name in features:
        fitted[name], strength, cross_validated = _fitted(train, name, strengths)
        held_out[name] = fitted[name].predict(test["text"].tolist())
        scored = score(held_out["label"].tolist(), held_out[name].tolist())
        scores[name] = {"strength": strength, "cross_validated": cross_validated, **scored}
    chosen = max(features, key=lambda name: scores[name]["cross_validated"])
    metrics = {"chosen": chosen, "baseline": features[0], "n_train": len(train), "scores": scores}
    return Tested(fitted[chosen], metrics, held_out, out.nonzero()[0])


def score(true: Sequence[str], predicted: Sequence[str]) -> dict[str, Any]:
    """Accuracy, Cohen's kappa, macro-F1, precision, recall, F1 and n per class, confusion matrix (rows: true class).
    Kappa is 0 where there is but one class. Macro-F1 averages over the classes that occur in ``true``."""
    from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, precision_recall_fscore_support

    classes = sorted(set(true) | set(predicted))
    precision, recall, f1, n = precision_recall_fscore_support(true, predicted, labels=classes, zero_division=0.0)
    per_class = {
        name: {"precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i]), "n": int(n[i])}
        for i, name in enumerate(classes)
    }
    return {
        "n": len(true),
        "accuracy": float(accuracy_score(true, predicted)),
        "kappa": float(cohen_kappa_score(true, predicted)) if len(classes) > 1 else 0.0,
        "macro_f1": float(np.mean([f1[i] for i in range(len(classes)) if n[i]])),
        "per_class": per_class,
        "confusion": {"classes": classes, "counts": confusion_matrix(true, predicted, labels=classes).tolist()},
    }


def save_tested(tested: Tested, folder: Path) -> None:
    """Write the classifier and ``held_out.csv``: ids, true labels and predictions, for intervals."""
    tested.classifier.save(folder)
    tested.held_out.to_csv(folder / "held_out.csv", index=False)


def prompt_groups(prompts: Sequence[str]) -> list[str]:
    """Name of the near-duplicate group of every prompt: its smallest prompt id."""
    frame = pd.DataFrame({"id": [prompt_id(prompt) for prompt in prompts], "prompt": list(prompts)})
    unique = frame.drop_duplicates("id", ignore_index=True)
    unique["number"] = groups(unique["prompt"].tolist(), NEAR_DUPLICATE)
    name = unique.set_index("id").groupby("number").transform(lambda column: column.index.min())["prompt"]
    return [str(name[identifier]) for identifier in frame["id"]]


def _fitted(train: pd.DataFrame, features: str, strengths: Sequence[float]) -> tuple[TextClassifier, float, float]:
    """The classifier of the strength that is best in grouped cross-validation, the strength, its macro-F1 there."""
    from sklearn.model_selection import GridSearchCV, GroupKFold

    texts, labels = train["text"].tolist(), train["label"].tolist()
    folds = min(FOLDS, train["group"].nunique())
    cut = list(GroupKFold(folds).split(texts, groups=train["group"])) if folds > 1 else []
    cut = [(rows, held) for rows, held in cut if train["label"].iloc[rows].nunique() > 1]
    if not cut:
        return TextClassifier.fit(texts, labels, features=features, strength=strengths[0]), strengths[0], float("nan")
    grid, how = {STRENGTH: list(strengths)}, {"scoring": "f1_macro", "error_score": "raise"}
    search = GridSearchCV(pipeline(features), grid, cv=cut, **how).fit(texts, labels)
    return TextClassifier(search.best_estimator_), float(search.best_params_[STRENGTH]), float(search.best_score_)
