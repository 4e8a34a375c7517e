"""A text classifier for labels and judges: TF-IDF features and logistic regression (scikit-learn), stored without
pickle.

``classifier.json`` holds the settings and the vocabulary, ``classifier.safetensors`` the numbers; a reloaded classifier
gives the very same probabilities.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trulysafe.common.errors import UserError, not_accepted

_WORDS = {"analyzer": "word", "ngram_range": (1, 1), "sublinear_tf": True}
_WORD_PAIRS = {"analyzer": "word", "ngram_range": (1, 2), "sublinear_tf": True}
_CHARACTERS = {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True, "min_df": 2}
FEATURES: dict[str, tuple[dict[str, Any], ...]] = {
    "words": (_WORDS,),
    "words_and_characters": (_WORD_PAIRS, _CHARACTERS),
}
"""Feature sets: TF-IDF of single words (the baseline); of words, word pairs and character 2- to 5-grams."""
ITERATIONS = 2000


class TextClassifier:
    """Multinomial logistic regression on TF-IDF features, classes weighted alike."""

    def __init__(self, vectorisers: Sequence[Any], model: Any) -> None:
        self._vectorisers = list(vectorisers)
        self._model = model

    @classmethod
    def fit(
        cls, texts: Sequence[str], labels: Sequence[str], *, features: str = "words", strength: float = 1.0
    ) -> TextClassifier:
        """Fit a classifier.

        Args:
            texts: the texts.
            labels: a label per text, of at least two kinds.
            features: a key of ``FEATURES``.
            strength: inverse strength of the L2 penalty (scikit-learn's ``C``), above 0.

        Raises:
            UserError: unknown features, no text, or labels of one kind only.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        if features not in FEATURES:
            raise not_accepted("text classifier, `features`", features, FEATURES)
        if len(set(labels)) < 2:
            found = ", ".join(sorted(set(labels))) or "none"
            raise UserError(
                f"text classifier: labels of at least two classes are needed, found {found} in {len(texts)} texts."
            )
        vectorisers = [TfidfVectorizer(**settings).fit(texts) for settings in FEATURES[features]]
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=ITERATIONS)
        classifier = cls(vectorisers, model)
        model.fit(classifier._features(texts), list(labels))
        return classifier

    @property
    def classes(self) -> list[str]:
        """Classes in the order of the columns of :meth:`predict_proba`."""
        return [str(name) for name in self._model.classes_]

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Probability of every class, float64, shape [texts, classes]; rows sum to 1."""
        if len(texts) == 0:
            return np.zeros((0, len(self.classes)))
        return np.asarray(self._model.predict_proba(self._features(texts)))

    def predict(self, texts: Sequence[str], among: Sequence[str] | None = None) -> np.ndarray:
        """Likeliest class of every text, shape [texts].

        Args:
            texts: the texts.
            among: choose among these classes only (those that the classifier knows).
        """
        known = [index for index, name in enumerate(self.classes) if among is None or name in among]
        if not known:
            raise not_accepted("text classifier, classes to choose among", list(among or ()), self.classes)
        return np.asarray(self.classes, dtype=object)[known][self.predict_proba(texts)[:, known].argmax(axis=1)]

    def save(self, folder: Path | str) -> None:
        """Write ``classifier.json`` and ``classifier.safetensors`` into a folder, which is made if need be."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"coefficients": self._model.coef_, "intercepts": self._model.intercept_}
        described = []
        for index, vectoriser in enumerate(self._vectorisers):
            arrays[f"idf_{index}"] = vectoriser.idf_
            terms = sorted(vectoriser.vocabulary_, key=vectoriser.vocabulary_.__getitem__)
            kept = ("analyzer", "ngram_range", "sublinear_tf")
            described.append({"settings": {name: getattr(vectoriser, name) for name in kept}, "terms": terms})
        text = json.dumps({"classes": self.classes, "vectorisers": described}, ensure_ascii=False)
        (folder / "classifier.json").write_text(text, encoding="utf-8")
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "classifier.safetensors"
        )

    @classmethod
    def load(cls, folder: Path | str) -> TextClassifier:
        """Read a classifier that :meth:`save` wrote.

        Raises:
            UserError: the folder does not hold a classifier.
        """
        from safetensors.numpy import load_file
        from sklearn.linear_model import LogisticRegression

        folder = Path(folder)
        try:
            described = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
            arrays = load_file(folder / "classifier.safetensors")
        except FileNotFoundError as error:
            raise UserError(
                f"{folder}: no text classifier ({error.filename} is missing). Rerun the rule that fits it."
            ) from error
        vectorisers = [_vectoriser(part, arrays[f"idf_{index}"]) for index, part in enumerate(described["vectorisers"])]
        model = LogisticRegression()
        model.classes_ = np.asarray(described["classes"])
        model.coef_, model.intercept_ = arrays["coefficients"], arrays["intercepts"]
        model.n_features_in_ = model.coef_.shape[1]
        return cls(vectorisers, model)

    def _features(self, texts: Sequence[str]) -> Any:
        from scipy.sparse import hstack

        return hstack([vectoriser.transform(texts) for vectoriser in self._vectorisers], format="csr")


def _vectoriser(part: dict[str, Any], idf: np.ndarray) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    settings = part["settings"] | {"ngram_range": tuple(part["settings"]["ngram_range"])}
    vectoriser = TfidfVectorizer(**settings, vocabulary=part["terms"])
    vectoriser.idf_ = idf
    return vectoriser
