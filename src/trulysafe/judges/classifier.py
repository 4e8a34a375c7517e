"""A classifier of the words of labelled responses, with its own held-out accuracy beside it."""

from pathlib import Path
from typing import Any

from trulysafe.classifier.options import FitOptions
from trulysafe.common.kinds import Frame
from trulysafe.judges._fitted import FittedJudge, Read, artefact_of, fit_parts, judge_parts


class Options(FittedJudge, FitOptions):
    """How responses are read, and how the classifiers are chosen and tested."""


def fit(labelled: Frame, folder: Path, options: Options) -> dict[str, Any]:
    """Fit it: :func:`trulysafe.judges._fitted.fit_parts` on the first characters of responses."""
    settings = {"characters": options.characters}
    read = _reader(settings)
    of_fit = options.of_fit()
    return fit_parts("classifier", labelled, folder, settings, read, lambda part: of_fit, options.safe_threshold)


def judge(answers: Frame, options: Options, artefact: Path | str | None = None) -> Frame:
    """Class answers by it: :func:`trulysafe.judges._fitted.judge_parts`; ``artefact`` is the folder of its fit."""
    folder, settings = artefact_of("classifier", artefact)
    return judge_parts(answers, folder, settings, _reader(settings), options.safe_threshold)


def _reader(settings: dict[str, Any]) -> Read:
    return lambda rows, part: [response[: settings["characters"]] for response in rows["response"]]
