"""TF-IDF features and logistic regression, fitted on released labels."""

from pathlib import Path
from typing import Any, ClassVar, get_args

from pydantic import Field

from trulysafe.classifier.options import FitOptions
from trulysafe.common.kinds import Frame
from trulysafe.common.vocabulary import Risk


class Options(FitOptions):
    """Options of the fit."""

    NEEDS: ClassVar = ("datasets",)

    classes: list[Risk] = Field(default_factory=list, description="Classes to fit on; empty is all.")


def fit(labelled: Frame, folder: Path, options: Options, client: Any) -> dict[str, Any]:
    """Fit on part of the prompts, test on the others, and write classifier and ``held_out.csv`` (UserError: fewer than
    two classes, or too few rows)."""
    from trulysafe.classifier.fit_and_test import fit_and_test, save_tested
    from trulysafe.label.agreement import about

    rows = labelled[labelled["risk"].isin(options.classes or get_args(Risk))]
    prompts, labels = rows["prompt"].tolist(), rows["risk"].tolist()
    tested = fit_and_test(prompts, prompts, labels, where="labeller of kind 'classifier'", **options.of_fit())
    save_tested(tested, folder)
    return {**tested.metrics, **about(rows)}


def label(frame: Frame, artefact: Path, options: Options, client: Any) -> Frame:
    """Give empty rows their likeliest class, among the harmful ones where a prompt is known to be harmful."""
    from trulysafe.classifier.text_classifier import TextClassifier
    from trulysafe.common.schema import HARMFUL_RISKS
    from trulysafe.label.labelling import filled

    classifier = TextClassifier.load(artefact)

    def classes(prompts: list[str], harmful: Any) -> Any:
        found = classifier.predict(prompts)
        if harmful.any():
            found[harmful] = classifier.predict([prompts[row] for row in harmful.nonzero()[0]], HARMFUL_RISKS)
        return found

    return filled(frame, "classifier", classes)
