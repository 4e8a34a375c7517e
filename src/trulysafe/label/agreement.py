"""How far two labellers agree, with intervals that resample prompts (or their families), and how good one can be.

The released labels contradict each other on prompts that were labelled twice, which is the most that can be reached.
"""

from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pandas as pd

from trulysafe.classifier.fit_and_test import score
from trulysafe.stats.bootstrap import Array
from trulysafe.stats.intervals import statistic_interval
from trulysafe.stats.limits import Interval

Counted = Callable[[Array], Array]
"""Confusion matrices, shape [draws, classes, classes] (rows: first labeller), to a statistic of shape [draws]."""


def agreement_interval(first: Sequence[str], second: Sequence[str], families: Sequence[str]) -> dict[str, Any]:
    """Agreement of two labellers on the same prompts.

    Families are the resampling units of the entries; an empty one stands for itself. Adds to :func:`agreement`
    ``kappa_low`` and ``kappa_high``, the 95% limits of kappa (NaN where it is undefined).
    """
    found = agreement(first, second)
    if found["n"] == 0 or np.isnan(found["kappa"]):
        return {**found, "kappa_low": float("nan"), "kappa_high": float("nan")}
    limits = paired_statistic(first, second, families, kappas, lowest=-1.0)
    return {**found, "kappa_low": limits.low, "kappa_high": limits.high}


def kappas(confusion: Array) -> Array:
    """Cohen's kappa of each confusion matrix, NaN where one class alone occurs; faster than scikit-learn's."""
    n = confusion.sum(axis=(1, 2))
    equal = np.trace(confusion, axis1=1, axis2=2) / n
    chance = (confusion.sum(axis=2) * confusion.sum(axis=1)).sum(axis=1) / n**2
    return np.divide(equal - chance, 1 - chance, out=np.full(n.shape, np.nan), where=chance < 1)


def macro_f1s(confusion: Array) -> Array:
    """Macro-F1 of each confusion matrix over the classes in its rows; faster than scikit-learn's."""
    true, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    hits, total = np.diagonal(confusion, axis1=1, axis2=2), true + predicted
    f1 = np.divide(2 * hits, total, out=np.zeros(total.shape), where=total > 0)
    return np.asarray((f1 * (true > 0)).sum(axis=1) / (true > 0).sum(axis=1))


def accuracies(confusion: Array) -> Array:
    """Share of equal labels in each confusion matrix."""
    return np.asarray(np.trace(confusion, axis1=1, axis2=2) / confusion.sum(axis=(1, 2)))


def second_f1s(confusion: Array) -> Array:
    """F1 of the last class of each confusion matrix, such as True among False and True; 0 where it never occurs."""
    total = confusion[:, -1].sum(axis=1) + confusion[:, :, -1].sum(axis=1)
    return np.divide(2 * confusion[:, -1, -1], total, out=np.zeros(total.shape), where=total > 0)


def paired_statistic(
    first: Sequence[Any], second: Sequence[Any], families: Sequence[str], statistic: Counted, lowest: float = 0.0
) -> Interval:
    """A statistic, such as :func:`kappas`, between ``lowest`` and 1, with its 95% interval from resampled families."""
    entries = pd.DataFrame({"first": list(first), "second": list(second), "family": list(families)})
    own = pd.Series("entry " + entries.index.astype(str), index=entries.index)
    names, numbers = pd.factorize(entries["family"].where(entries["family"] != "", own))
    classes = sorted({*first, *second})
    place = {name: number for number, name in enumerate(classes)}
    grid = np.zeros((len(numbers), len(classes), len(classes)))
    np.add.at(grid, (names, entries["first"].map(place), entries["second"].map(place)), 1.0)

    def of_draws(weights: Any) -> Array:
        return statistic(np.tensordot(weights[1], grid, axes=1))

    return statistic_interval(of_draws, len(numbers), len(entries), (lowest, 1.0))


def agreement_rows(labels: pd.DataFrame, where: str) -> pd.DataFrame:
    """Agreement of every two labellers that share a prompt.

    ``labels`` has one row per labelled prompt, prompt_id and a column of classes per labeller, an empty text where it
    gave none. Returns columns prompts (``where`` they are from), first, second, n, agreement, kappa, ci_low, ci_high.
    """
    found = []
    for first, second in combinations([name for name in labels if name != "prompt_id"], 2):
        both = labels[(labels[first] != "") & (labels[second] != "")]
        if len(both):
            row = agreement_interval(both[first].tolist(), both[second].tolist(), both["prompt_id"].tolist())
            limits = {"ci_low": row.pop("kappa_low"), "ci_high": row.pop("kappa_high")}
            found.append({"prompts": where, "first": first, "second": second, **row, **limits})
    return pd.DataFrame(found, columns=["prompts", "first", "second", "n", "agreement", "kappa", "ci_low", "ci_high"])


def about(labelled: pd.DataFrame) -> dict[str, Any]:
    """How many rows have each label (``labels``), and :func:`label_agreement`, for a labeller's metrics."""
    counts = {str(risk): int(count) for risk, count in labelled["risk"].value_counts().sort_index().items()}
    return {"labels": counts, "label_agreement": label_agreement(labelled)}


def label_agreement(labelled: pd.DataFrame) -> dict[str, Any]:
    """How well one released label predicts another of the same prompt: the most that a labeller of prompts can reach.

    Returns ``prompts`` labelled more than once, of these ``disagreeing``; over all ordered pairs of their labels ``n``,
    ``agreement`` and ``kappa``, and ``macro_f1`` and ``per_class`` as of a labeller. Only the counts where no prompt is
    labelled twice.
    """
    several = [risks for risks in labelled.groupby("prompt_id")["risk"].agg(list) if len(risks) > 1]
    counts = {"prompts": len(several), "disagreeing": sum(len(set(risks)) > 1 for risks in several)}
    pairs = [pair for risks in several for pair in permutations(risks, 2)]
    if not pairs:
        return counts
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    scored = score(first, second)
    return {**counts, **agreement(first, second), "macro_f1": scored["macro_f1"], "per_class": scored["per_class"]}


def agreement(first: Sequence[str], second: Sequence[str]) -> dict[str, Any]:
    """Agreement of two labellers on the same prompts: n, share of equal labels and Cohen's kappa."""
    from sklearn.metrics import cohen_kappa_score

    same = [a == b for a, b in zip(first, second, strict=True)]
    # kappa is undefined where both labellers know one class only
    kappa = float(cohen_kappa_score(first, second)) if len({*first, *second}) > 1 else float("nan")
    return {"n": len(same), "agreement": sum(same) / len(same) if same else float("nan"), "kappa": kappa}
