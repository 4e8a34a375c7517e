"""A text classifier for labels and judges: logistic regression on TF-IDF features, or on a language model's states.

`skops` stores it without pickle, in a file that can name types but run no code; types that scikit-learn does not bring
are refused on loading. scikit-learn is imported where it is used, since judging by phrases needs none.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.common.words import unit_pattern

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_WORDS = {"analyzer": "word", "ngram_range": (1, 1), "sublinear_tf": True}
_WORD_PAIRS = {"analyzer": "word", "ngram_range": (1, 2), "sublinear_tf": True}
_CHARACTERS = {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True, "min_df": 2}
FEATURES: dict[str, tuple[dict, ...]] = {"words": (_WORDS,), "words_and_characters": (_WORD_PAIRS, _CHARACTERS)}
"""Feature sets: TF-IDF of single words (the baseline); of words, word pairs and character 2- to 5-grams."""
STATES = "states"
"""Name of the features that are numbers already: hidden states, standardised."""
STRENGTH = "logisticregression__C"
"""Name of the inverse strength of the L2 penalty among the parameters of :func:`pipeline`."""
ITERATIONS = 2000
FILE = "classifier.skops"
TRUSTED: tuple[str, ...] = ()
"""Types beyond those of scikit-learn and numpy that a stored classifier may hold."""


def pipeline(features: str = "words", strength: float = 1.0) -> "Pipeline":
    """A pipeline to be fitted: multinomial logistic regression, classes weighted alike. ``features`` is a key of
    ``FEATURES``, or ``STATES``: it then takes vectors in the place of texts (UserError: any other); ``strength`` is the
    inverse strength of the L2 penalty (scikit-learn's ``C``), above 0."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=ITERATIONS)
    if features == STATES:
        return make_pipeline(StandardScaler(), model)
    if features not in FEATURES:
        raise not_accepted("text classifier, `features`", features, FEATURES)
    of_words = {"token_pattern": unit_pattern(2)}
    settings = (how | (of_words if how["analyzer"] == "word" else {}) for how in FEATURES[features])
    return make_pipeline(make_union(*(TfidfVectorizer(**how) for how in settings)), model)


class TextClassifier:
    """A fitted :func:`pipeline`."""

    def __init__(self, fitted: "Pipeline") -> None:
        self._fitted = fitted

    @classmethod
    def fit(cls, texts: Sequence, labels: Sequence[str], *, features: str = "words", strength: float = 1.0) -> Self:
        """Fit a :func:`pipeline` on texts, or states, and labels (UserError: unknown features, one class alone)."""
        if len(set(labels)) < 2:
            found = ", ".join(sorted(set(labels))) or "none"
            needed = "labels of at least two classes are needed"
            raise UserError(f"text classifier: {needed}, found {found} in {len(texts)} texts.")
        return cls(pipeline(features, strength).fit(list(texts), list(labels)))

    @property
    def classes(self) -> list[str]:
        """Classes in the order of the columns of :meth:`predict_proba`."""
        return [str(name) for name in self._fitted.classes_]

    def predict_proba(self, texts: Sequence[Any]) -> np.ndarray:
        """Probability of every class, float64, shape [texts, classes]; rows sum to 1."""
        if len(texts) == 0:
            return np.zeros((0, len(self.classes)))
        return np.asarray(self._fitted.predict_proba(texts))

    def predict(self, texts: Sequence[Any], among: Sequence[str] | None = None) -> np.ndarray:
        """Likeliest class of every text, or state, shape [texts]; ``among`` these classes only, where it knows them."""
        known = [index for index, name in enumerate(self.classes) if among is None or name in among]
        if not known:
            raise not_accepted("text classifier, classes to choose among", list(among or ()), self.classes)
        return np.asarray(self.classes, dtype=object)[known][self.predict_proba(texts)[:, known].argmax(axis=1)]

    def save(self, folder: Path | str) -> None:
        """Write ``classifier.skops`` into a folder, which is made if need be."""
        from zipfile import ZIP_DEFLATED

        Path(folder).mkdir(parents=True, exist_ok=True)
        _skops().dump(self._fitted, Path(folder) / FILE, compression=ZIP_DEFLATED)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read a classifier that :meth:`save` wrote (UserError: the folder holds no classifier, or one that is damaged
        or of types that are not trusted)."""
        path = Path(folder) / FILE
        if not path.is_file():
            raise UserError(f"{folder}: no text classifier ({FILE} is missing). Rerun the rule that fits it.")
        try:
            read = cls(_skops().load(path, trusted=list(TRUSTED)))
            width = getattr(read._fitted, "n_features_in_", None)
            read.predict_proba([np.zeros(width)] if width else [""])
            return read
        except Exception as error:  # a damaged file fails in as many ways as it has parts
            found = f"not a classifier that can be read ({type(error).__name__}: {error})"
            raise UserError(f"{path}: {found}. Delete {folder} and rerun the rule that fits it.") from error


def _skops() -> ModuleType:
    """`skops.io`, without torch: it looks through all of scikit-learn for types, where one module would load it."""
    hidden = "sklearn.externals.array_api_compat.torch"
    known = hidden in sys.modules
    if not known:
        sys.modules[hidden] = None  # type: ignore[assignment]
    try:
        return import_module("skops.io")
    finally:
        if not known:
            del sys.modules[hidden]
