"""What a thinking model says to the user, apart from its thoughts."""

import re

_NAMES = r"(?:think|thinking|thought|thoughts|reasoning|reflection|seed:think)"
_MARKS = (
    (rf"<{_NAMES}>", rf"</{_NAMES}>"),
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|channel\|>analysis\b[^<]*<\|message\|>", r"<\|channel\|>final\b[^<]*<\|message\|>"),
    (r"<\|channel>thought\b", r"<channel\|>"),
    ("◁think▷", "◁/think▷"),
)
"""How the templates of thinking models mark where a thought begins and ends."""
_BEGINS, _ENDS = ("|".join(marks) for marks in zip(*_MARKS, strict=True))


def without_thoughts(response: str) -> str:
    """What a response says to the user: all behind its last thought; a thought without an end is cut off."""
    *thoughts, said = re.split(_ENDS, response, flags=re.IGNORECASE)
    said, *unfinished = re.split(_BEGINS, said, maxsplit=1, flags=re.IGNORECASE)
    return said.strip() if thoughts or unfinished else response


def open_mark(text: str) -> str:
    """The mark at the end of a text that opens a thought, with the space behind it; empty where there is none."""
    found = re.search(rf"(?:{_BEGINS})\s*$", text, flags=re.IGNORECASE)
    return found[0] if found else ""
