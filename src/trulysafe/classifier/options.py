"""Options of the text classifiers, light enough to be read at every start."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from trulysafe.common.kinds import Options

Features = Literal["words", "words_and_characters"]
"""Names of the feature sets in :mod:`trulysafe.classifier.text_classifier`."""
FEATURE_SETS, STRENGTHS, TEST_SHARE = get_args(Features), (0.3, 3.0), 0.25
TestShare = Annotated[float, Field(gt=0, lt=1, description="Share of the prompts held out for the test, by hash.")]
Strength = Annotated[float, Field(gt=0)]


class FitOptions(Options):
    """How a text classifier is chosen and tested."""

    features: list[Features] = Field([*FEATURE_SETS], min_length=1)
    """Feature sets to choose from; the first is the baseline."""
    strengths: list[Strength] = Field([*STRENGTHS], min_length=1)
    """Inverse penalties (scikit-learn's `C`) to choose from."""
    test_share: TestShare = TEST_SHARE

    def of_fit(self) -> dict[str, Any]:
        """Keyword arguments of :func:`trulysafe.classifier.fit_and_test.fit_and_test`."""
        return self.model_dump(include={*FitOptions.model_fields})
