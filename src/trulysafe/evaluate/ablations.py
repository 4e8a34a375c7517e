"""What each contested choice is worth: an arm that differs from its default in one thing, paired with it answer by answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from trulysafe.evaluate.contrasts import contrast_rows
from trulysafe.evaluate.outcomes import MAIN_METRIC, METRIC_AXES

METRICS = tuple(MAIN_METRIC.values())
"""Outcomes of every ablation: harmful prompts handled safely, look-alikes refused, general questions answered rightly."""


def ablation_rows(
    verdicts: pd.DataFrame, ablations: Mapping[str, Mapping[str, Any]], benchmarks: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Difference of each arm to its default in every outcome of :data:`METRICS` that the benchmarks measure.

    Args:
        verdicts: table of schema ``verdicts``.
        ablations: name -> ``arm`` and ``default`` (experiments), ``choice`` (what differs, for reading) and ``primary``.
        benchmarks: as in :func:`trulysafe.evaluate.outcomes.outcome_table`.

    Returns:
        Columns of :func:`trulysafe.evaluate.contrasts.contrast_rows` (``a`` is the arm, ``b`` its default), and ``ablation``, ``choice``. ``p_holm``
        is corrected over all outcomes of all primary ablations together.

    Raises:
        UserError: an unknown experiment, or an arm and a default that share no judged prompt.
    """
    axes = {about["axis"] for about in benchmarks.values() if about.get("purpose", "test") == "test"}
    metrics = [metric for metric in METRICS if set(METRIC_AXES[metric]) <= axes]
    declared = [
        {
            "name": name,
            "a": about["arm"],
            "b": about["default"],
            "metric": metric,
            "primary": about.get("primary", True),
        }
        for name, about in ablations.items()
        for metric in metrics
    ]
    rows = contrast_rows(verdicts, declared, benchmarks).rename(columns={"contrast": "ablation"})
    choices = {name: about["choice"] for name, about in ablations.items()}
    rows.insert(1, "choice", rows["ablation"].map(choices))
    return rows
