"""A classifier of the words of labelled responses, with its own held-out accuracy beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trulysafe.classifier.options import FitOptions
from trulysafe.judges._fitted import FittedJudge, Read, artefact_of, fit_parts, judge_parts

if TYPE_CHECKING:
    import pandas as pd


class Options(FittedJudge, FitOptions):
    """How responses are read, and how the classifiers are chosen and tested."""


def fit(labelled: pd.DataFrame, folder: Path, options: Options) -> dict[str, Any]:
    """Fit it: :func:`trulysafe.judges._fitted.fit_parts` on the first characters of responses."""
    settings = {"characters": options.characters}
    read = _reader(settings)
    of_fit = options.of_fit()
    return fit_parts("classifier", labelled, folder, settings, read, lambda part: of_fit, options.safe_threshold)


def judge(answers: pd.DataFrame, options: Options, artefact: Path | str | None = None) -> pd.DataFrame:
    """Class answers by it: :func:`trulysafe.judges._fitted.judge_parts`; ``artefact`` is the folder of its fit."""
    folder, settings = artefact_of("classifier", artefact)
    return judge_parts(answers, folder, settings, _reader(settings), options.safe_threshold)


def _reader(settings: dict[str, Any]) -> Read:
    return lambda rows, part: [response[: settings["characters"]] for response in rows["response"]]
