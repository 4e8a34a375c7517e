"""Requests to a language model, and a client with a cache that sends them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trulysafe.llm.client import AnswerCache, Client
from trulysafe.llm.messages import Generation, Request


def client(backend: Any, folder: Path, **options: Any) -> Client:
    """A client whose answers are at most 16 tokens long."""
    return Client(backend, AnswerCache(folder), Generation(max_new_tokens=16), **options)


def requests(*texts: str) -> list[Request]:
    """One request per text, all under the same system turn."""
    return [Request.of(user=text, system="Be short.") for text in texts]
