"""The safety reviewer: a language model that analyses a prompt and then names its risk class, as one JSON object.

Paper B labels its training prompts this way (Equilibrate RLHF, data classification) with a model that it does not name.
The classes are the paper's; the wording is our own, and it adds the two answers that the released labels also hold:
another risk, and none.
"""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from trulysafe.llm.analysed import Analysed
from trulysafe.llm.client import Client
from trulysafe.llm.messages import Request
from trulysafe.llm.structured import Parsed, ask_for

CLASSES = {"explicit": "EHD", "implicit": "IHD", "mixed": "MHD", "other": "other", "harmless": "general"}
"""What the reviewer may answer, and our name of the class."""
_TOLD: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
"""What the reviewer is told, from ``reviewer.toml``."""


class Review(Analysed):
    """A reviewer's answer on any prompt."""

    risk: Literal["explicit", "implicit", "mixed", "other", "harmless"] = Field(alias="class")


class HarmfulReview(Review):
    """A reviewer's answer on a prompt that is known to be harmful."""

    risk: Literal["explicit", "implicit", "mixed"] = Field(alias="class")


def review(client: Client, prompts: Sequence[str], harmful: Sequence[bool], attempts: int = 3) -> list[Parsed[Review]]:
    """Let a language model review prompts, each asked about at most so many times; one outcome per prompt, whose class
    :func:`risk_of` names. Where a prompt is known to be ``harmful``, only the three harmful classes are offered and
    accepted."""
    forms: list[type[Review]] = [HarmfulReview if known else Review for known in harmful]
    requests = [
        Request.of(system=_system(form), user=_TOLD["ask"].format(prompt=json.dumps(prompt, ensure_ascii=False)))
        for prompt, form in zip(prompts, forms, strict=True)
    ]
    return ask_for(client, requests, forms, attempts)


def risk_of(outcome: Parsed[Review], failed: str) -> str:
    """Our class of an outcome; ``failed`` where no attempt gave an answer that can be read."""
    return failed if outcome.value is None else CLASSES[outcome.value.risk]


def _system(form: type[Review]) -> str:
    names = get_args(form.model_fields["risk"].annotation)
    return _TOLD["role"].format(
        classes="\n".join(f"- {name}: {_TOLD['meanings'][name]}" for name in names),
        names=", ".join(f'"{name}"' for name in names),
        example=json.dumps(_TOLD["example"]),
    )
