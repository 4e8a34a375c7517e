"""Disguises of single characters that a person still reads, and that a filter of words does not."""

from trulysafe.common.ids import content_id, stable_seed

LEET = str.maketrans("aeiostAEIOST", "431057431057")
LOOK_ALIKE = str.maketrans(
    "aceopxyACEOPX", "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0410\u0421\u0415\u041e\u0420\u0425"
)
"""Latin letters -> Cyrillic ones of the same looks."""
SHORTEST_SPACED = 4
"""Letters of a word from which on it is spaced out."""


def leet(text: str) -> str:
    """Digits in place of letters that look alike."""
    return text.translate(LEET)


def spaced(text: str) -> str:
    """A blank between the characters of every longer word."""
    return " ".join(" ".join(word) if len(word) >= SHORTEST_SPACED else word for word in text.split(" "))


def homoglyphs(text: str) -> str:
    """Cyrillic letters in place of Latin ones that look alike."""
    return text.translate(LOOK_ALIKE)


WAYS = (leet, spaced, homoglyphs)


def disguised(text: str, seed: int = 0) -> str:
    """The text in one of :data:`WAYS`, chosen by its hash and ``seed``: the first from there on that changes it, or
    the text as it is where none does."""
    start = stable_seed("disguise", seed, content_id(text)) % len(WAYS)
    changed = (way(text) for way in (*WAYS[start:], *WAYS[:start]))
    return next((found for found in changed if found != text), text)
