"""What a thinking model says to the user, apart from its thoughts."""

import re

_NAMES = r"(?:think|thinking|thought|thoughts|reasoning|reflection|seed:think)"
_ENDS = rf"</{_NAMES}>|\[/THINK\]|<\|end_of_thought\|>|<\|channel\|>final<\|message\|>"
_BEGINS = rf"<{_NAMES}>|\[THINK\]|<\|begin_of_thought\|>|<\|channel\|>analysis<\|message\|>"
"""How the templates of thinking models mark a thought."""


def without_thoughts(response: str) -> str:
    """What a response says to the user: all behind its last thought; a thought without an end is cut off."""
    *thoughts, said = re.split(_ENDS, response, flags=re.IGNORECASE)
    said, *unfinished = re.split(_BEGINS, said, maxsplit=1, flags=re.IGNORECASE)
    return said.strip() if thoughts or unfinished else response
