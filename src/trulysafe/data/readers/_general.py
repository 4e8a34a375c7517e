"""Rows of the general class: a plain instruction and its response."""

from typing import Any

from trulysafe.data.sources import Fields


def exchange(prompt: str, response: str, **meta: Any) -> Fields:
    """Fields of an instruction and its response."""
    return {"prompt": prompt, "response": response, "risk": "general", "meta": meta}
