"""What is kept of a source of token rewards: constants that centre and scale its values, and held-out scores."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trulysafe.common.files import write_json
from trulysafe.methods.parts import FORMS
from trulysafe.models.tokens import Encoded
from trulysafe.reward.evaluate import reward_scores
from trulysafe.reward.states import SCALES
from trulysafe.reward.token_scale import fit_scale, save_scales

METRICS = "metrics.json"
FIFTHS = 5
Values = list[list[float]]
Rows = Sequence[int]
Responses = Sequence[Encoded]
Reader = Callable[[Responses], Values]
"""Gives each response the values after each of its tokens, uncentred."""


def write_source(
    read: Reader, safe: Responses, unsafe: Responses, risks: Sequence[str], split: tuple[Rows, Rows], output: Path
) -> dict[str, Any]:
    """Write the constants of a source, by the first rows of ``split``, and its metrics on the others, into a folder.
    Both sides are tokenised responses of annotated pairs, row i paired with row i, each pair of one risk class. Returns
    per risk class and for ``all``: scores (:func:`trulysafe.reward.evaluate.reward_scores`) of the mean scaled value of
    a response, and its AUC by fifths of the response, ``auc_1`` to ``auc_5``."""
    fitted, held_out = split
    values = [read(side) for side in (safe, unsafe)]
    scales = [fit_scale([side[row] for side in values for row in fitted], form) for form in FORMS]
    save_scales(scales, output / SCALES)
    sides = [[scales[0].apply(side[row]) for row in held_out] for side in values]
    names = pd.Series([risks[row] for row in held_out])
    metrics = {
        str(name): _scores(*([side[row] for row in rows] for side in sides))
        for name, rows in {"all": range(len(names)), **names.groupby(names).indices}.items()
    }
    write_json(output / METRICS, metrics)
    return metrics


def _scores(safe: Values, unsafe: Values) -> dict[str, Any]:
    means = [np.array([np.mean(values) for values in side]) for side in (safe, unsafe)]
    scores: dict[str, Any] = dict(reward_scores(*means))
    for part in range(FIFTHS):
        at_part = [np.array([values[int(part / FIFTHS * len(values))] for values in side]) for side in (safe, unsafe)]
        scores[f"auc_{part + 1}"] = reward_scores(*at_part)["auc"]
    return scores
