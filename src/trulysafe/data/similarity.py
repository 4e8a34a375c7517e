"""Near-duplicate prompts: cosine similarity of character 5-grams over content words.

The similarity of two prompts depends on these two alone (plain counts, no weights learnt from the data at hand), so
that adding a dataset never moves another pair over the threshold, and the leakage check sees exactly what the split
saw. Stop words are left out: prompts of the form "how do I ..." are not alike because of it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trulysafe.common.ids import normalise_text
from trulysafe.common.words import words_and_signs

NGRAM, FEATURES, BLOCK = 5, 2**20, 2000
REST = 0.4
"""Squared norm that a prompt's commonest n-grams may hold without being indexed; a matter of speed alone."""


def near_pairs(texts: Sequence[str], threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find all pairs of texts at least as similar as ``threshold``, above 0.

    Returns positions of the first and the second text (first < second) and their cosine, each of shape [pairs]. The
    search is exact. Only pairs that share one of their rarer n-grams are compared: without it their similarity is below
    the norm of the commoner ones (prefix filtering, Bayardo et al. 2007). At 1 or more only texts that
    :func:`~trulysafe.common.ids.normalise_text` makes equal are alike. 30,000 prompts take some ten seconds on one
    core.
    """
    none = np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    if len(texts) == 0:
        return none
    folded, place = np.unique([normalise_text(text) for text in texts], return_inverse=True)
    near = zip(*(_similar(list(folded), threshold) if threshold < 1 else none), strict=True)
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    found = [(a, b, value) for i, j, value in near for a in members[i] for b in members[j]]
    found += [(group[0], other, 1.0) for group in members for other in group[1:]]
    first, second, value = np.array(found, dtype=float).reshape(-1, 3).T
    low, high = np.minimum(first, second).astype(int), np.maximum(first, second).astype(int)
    return low, high, value


def groups(texts: Sequence[str], threshold: float, links: np.ndarray | None = None) -> np.ndarray:
    """Number the groups of texts that chains of near-duplicates connect; shape [texts], one number for each group.
    ``links`` are positions of texts that belong together for other reasons, shape [links, 2]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second, _ = near_pairs(texts, threshold)
    if links is not None:
        first, second = np.r_[first, links[:, 0]], np.r_[second, links[:, 1]]
    joined = coo_array((np.ones(len(first)), (first, second)), shape=(len(texts), len(texts)))
    return np.asarray(connected_components(joined, directed=False)[1])


def content_words(text: str) -> str:
    """Folded words of a text without English stop words; all of its words if nothing else is left. Signs that say
    something are words as well (``C++``, ``2-3``, ``x > 5``, an emoji), marks between words are not."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    found = words_and_signs(normalise_text(text))
    return " ".join([word for word in found if word not in ENGLISH_STOP_WORDS] or found)


def _similar(texts: list[str], threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vectors = _common_first(_vectors(texts))
    rare = _rare_part(vectors, min(REST, 0.9 * threshold**2))
    rest = np.sqrt(np.maximum(0.0, 1.0 - np.asarray(rare.multiply(rare).sum(axis=1)).ravel()))
    across, parts = rare.T.tocsr(), []
    for start in range(0, len(texts), BLOCK):
        shared = (rare[start : start + BLOCK] @ across).tocoo()
        rows, columns = shared.row + start, shared.col
        # what the rare parts do not share is at most the larger of the two rests
        candidate = (rows < columns) & (shared.data + np.maximum(rest[rows], rest[columns]) >= threshold - 1e-6)
        rows, columns = rows[candidate], columns[candidate]
        cosine = np.asarray(vectors[rows].multiply(vectors[columns]).sum(axis=1)).ravel()
        near = cosine >= threshold - 1e-9
        parts.append((rows[near], columns[near], cosine[near]))
    rows, columns, cosine = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, columns, cosine


def _vectors(texts: list[str]) -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    how = {"analyzer": "char_wb", "ngram_range": (NGRAM, NGRAM), "n_features": FEATURES, "alternate_sign": False}
    return HashingVectorizer(preprocessor=content_words, **how).transform(texts).tocsr()


def _common_first(vectors: Any) -> Any:
    """Order the columns from common to rare n-grams, and the entries of each row alike."""
    frequency = np.bincount(vectors.indices, minlength=vectors.shape[1])
    used = np.flatnonzero(frequency)
    ordered = vectors[:, used[np.argsort(-frequency[used], kind="stable")]].tocsr()
    ordered.sort_indices()
    return ordered


def _rare_part(vectors: Any, rest: float) -> Any:
    """Each row without its commonest n-grams, as many of them as together have a squared norm of at most ``rest``."""
    from scipy.sparse import csr_matrix

    mass = np.concatenate([[0.0], np.cumsum(vectors.data**2)])
    within = mass[1:] - np.repeat(mass[vectors.indptr[:-1]], np.diff(vectors.indptr))
    keep = within > rest
    pointers = np.concatenate([[0], np.cumsum(keep)])[vectors.indptr]
    return csr_matrix((vectors.data[keep], vectors.indices[keep], pointers), shape=vectors.shape)
