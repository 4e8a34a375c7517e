"""Judges: class every answer as complies, safe completion, refuses, mixed or malformed; check answers that can be checked.

A judge is one function ``(answers, options, artefact) -> table of verdict and correct``, one row per answer, on the same index. Judges
in ``FITS`` are fitted on labelled responses first; what the fit wrote is their ``artefact``. To add a judge, write the function and
enter it with its options.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.judges import classifier, keywords, oracle, refusal_phrases

JUDGES: dict[str, Callable[[pd.DataFrame, dict[str, Any], Path | None], pd.DataFrame]] = {
    "oracle": oracle.judge,
    "refusal_phrases": refusal_phrases.judge,
    "keywords": keywords.judge,
    "classifier": classifier.judge,
}
FITS: dict[str, Callable[[pd.DataFrame, Path, Mapping[str, Any]], dict[str, Any]]] = {"classifier": classifier.fit}
OPTIONS: dict[str, tuple[str, ...]] = {
    "oracle": (),
    "refusal_phrases": ("phrases",),
    "keywords": ("key",),
    "classifier": (*classifier.FIT_OPTIONS, "safe_threshold"),
}
"""Options that each judge accepts."""


def judged(answers: pd.DataFrame, kind: str, options: dict[str, Any], artefact: Path | None = None) -> pd.DataFrame:
    """Let a judge class answers; those that the token limit cut off are malformed, whatever the judge makes of their text.

    Args:
        answers: table of schema ``answers``.
        kind: a key of ``JUDGES``.
        options: the judge's options.
        artefact: what the judge's fit wrote.

    Returns:
        Columns ``verdict`` and ``correct``, on the index of ``answers``.
    """
    verdicts = JUDGES[kind](answers, options, artefact)
    cut = ~answers["finished"].to_numpy(dtype=bool)
    verdicts.loc[cut, "verdict"] = "malformed"
    verdicts.loc[cut & verdicts["correct"].notna(), "correct"] = False
    return verdicts


def validate(kind: str, options: Mapping[str, Any]) -> None:
    """Check the kind and the names of the options of a judge, before any job.

    Raises:
        UserError: names what was found and what is accepted.
    """
    if kind not in JUDGES:
        raise not_accepted("judge `kind`", kind, JUDGES)
    for option in options:
        if option not in OPTIONS[kind]:
            raise not_accepted(f"judge of kind {kind!r}, option", option, OPTIONS[kind])
    for phrase in options.get("phrases") or ():
        try:
            re.compile(phrase)
        except (re.error, TypeError) as error:
            raise UserError(
                f"judge of kind {kind!r}, option `phrases`: {phrase!r} is not a regular expression ({error}). "
                "Put a backslash before signs such as ( or ? that stand for themselves."
            ) from error


def fit(kind: str, labelled: pd.DataFrame, out: Path | str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Fit a judge on labelled responses.

    Args:
        kind: a key of ``FITS``.
        labelled: table of schema ``responses`` with labels.
        out: folder of the artefact; ``metrics.json`` holds what is returned.
        options: the judge's options.

    Returns:
        The judge's metrics on held-out prompts.

    Raises:
        UserError: a judge that is not fitted, an unknown option, or labels that do not do.
    """
    if kind not in FITS:
        raise UserError(
            f"judge of kind {kind!r} is not fitted: remove its `datasets`. Fitted judges: {', '.join(FITS)}."
        )
    validate(kind, options or {})
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    metrics = FITS[kind](labelled, folder, options or {})
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return metrics
