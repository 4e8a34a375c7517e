"""How good a labeller can be: the released labels contradict each other on prompts that were labelled twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pandas as pd

from trulysafe.classifier.fit_and_test import score


def about(labelled: pd.DataFrame) -> dict[str, Any]:
    """How many rows have each label (``labels``), and :func:`label_agreement`, for a labeller's metrics."""
    counts = {str(risk): int(count) for risk, count in labelled["risk"].value_counts().sort_index().items()}
    return {"labels": counts, "label_agreement": label_agreement(labelled)}


def label_agreement(labelled: pd.DataFrame) -> dict[str, Any]:
    """How well one released label predicts another of the same prompt: the most that a labeller of prompts can reach.

    Returns:
        ``prompts`` labelled more than once, of these ``disagreeing``; over all ordered pairs of their labels ``n``,
        ``agreement`` and ``kappa``, and ``macro_f1`` and ``per_class`` as of a labeller. Only the counts where no
        prompt is labelled twice.
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
    if not same:
        return {"n": 0, "agreement": float("nan"), "kappa": float("nan")}
    # kappa is undefined where both labellers know one class only
    kappa = float(cohen_kappa_score(first, second)) if len({*first, *second}) > 1 else float("nan")
    return {"n": len(same), "agreement": sum(same) / len(same), "kappa": kappa}
