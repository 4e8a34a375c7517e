"""What a check found, and how it asks the machine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line: ``state`` is ``ok``, ``note`` (may be right) or ``mend`` (jobs will fail)."""

    state: str
    what: str
    says: str

    def __str__(self) -> str:
        return f"{self.state:<5} {self.what:<14} {self.says}"


def command(*words: str, seconds: float = 30, or_fails: bool = False) -> str | None:
    """What a command printed; None if it is not there or hangs, or fails unless that is as good an answer."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if or_fails or done.returncode == 0 else None
