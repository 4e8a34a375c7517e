"""Answers on disk, by content: safe to kill, safe to share between jobs, on a network file system too.

A folder of JSON-lines files. Every open cache appends to a file of its own, one line per answer in a single write, so
that no two processes write to one file and no locks are needed (locks are unreliable on many cluster file systems). A
line that a killed job left unfinished is skipped on reading; nothing is ever appended to it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from trulysafe.llm.messages import Answer

logger = logging.getLogger(__name__)


class AnswerCache:
    """Answers by key.

    Args:
        folder: where the files lie; it is made with the first answer.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._own = self.folder / f"{uuid.uuid4().hex}.jsonl"
        self._lock = threading.Lock()
        self._answers: dict[str, Answer] = {}
        broken = 0
        for path in sorted(self.folder.glob("*.jsonl")):
            for key, answer in _read(path):
                if answer is None:
                    broken += 1
                else:
                    self._answers.setdefault(key, answer)
        if broken:
            logger.warning("%s: %d unfinished lines were skipped; those answers are asked for again.", folder, broken)

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> Answer | None:
        """The answer under a key, or none."""
        return self._answers.get(key)

    def put(self, key: str, answer: Answer) -> None:
        """Store an answer; it is on disk when this returns."""
        line = json.dumps({"key": key, "text": answer.text, "end": answer.end}, ensure_ascii=True) + "\n"
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._own, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(descriptor, line.encode("ascii"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._answers[key] = answer


def _read(path: Path) -> Iterator[tuple[str, Answer | None]]:
    """Keys and answers of a file; a line that cannot be read gives no answer."""
    for line in path.read_bytes().splitlines():
        try:
            found = json.loads(line)
            yield str(found["key"]), Answer(str(found["text"]), str(found["end"]))
        except (ValueError, KeyError, TypeError):
            yield "", None
