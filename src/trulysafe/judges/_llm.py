"""What judges that ask a language model share: how it is asked, and what becomes of what it says.

The model is a stanza under ``llms``, local or at an endpoint, asked through :mod:`trulysafe.llm`: answers are kept as
they come, so that a job that was killed, or whose endpoint failed, pays for none twice. What it is told is in the file
of TOML beside a judge's module. Prompt and response are JSON strings in one turn of the user, so neither can pass for
a turn of the judge's own. It answers with a JSON object, analysis first and class second; one that cannot be read is
asked for again. What becomes of what it says is in :mod:`trulysafe.judges._asked`.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from trulysafe.common import kinds
from trulysafe.common.errors import UserError
from trulysafe.common.options import Count
from trulysafe.judges._asked import NONSENSE, Conversation, Heard, judge_each
from trulysafe.llm.analysed import Analysed

logger = logging.getLogger(__name__)


class LlmOptions(kinds.Options):
    """How the model is asked."""

    NEEDS: ClassVar = ("llm",)
    OWN_TOKENS: ClassVar[int]
    """About how many tokens what the model is told has, for the cost."""

    attempts: Count = Field(3, description="Times that it is asked at most; what cannot be read is malformed.")
    characters: Count | None = Field(None, description="Characters of a response that the model reads; none: all.")


class Judgement(Analysed):
    """What the model answers; a judge adds a field ``name`` with the alias ``class``, of the names that it accepts."""


@dataclass(frozen=True)
class Rubric:
    """How one kind of judge asks: what the model is told, the form of its answer, and the verdict that it makes."""

    kind: str
    told: Mapping[str, Any]
    """``role``, with ``{classes}``, ``{names}`` and ``{example}`` to be filled in, ``ask``, with ``{prompt}`` and
    ``{response}``, ``meanings`` of the classes by name, and an ``example`` of an answer."""
    form: type[Judgement]
    verdict: Callable[[Any, str, bool], str]
    """From the answer, the response and whether the prompt is harmful to a verdict."""

    @property
    def system(self) -> str:
        """What the model is told first."""
        meanings = self.told["meanings"]
        return str(
            self.told["role"].format(
                classes="\n".join(f"- {name}: {meaning}" for name, meaning in meanings.items()),
                names=", ".join(f'"{name}"' for name in meanings),
                example=json.dumps(self.told["example"]),
            )
        )


def open_client(**arguments: Any) -> Any:
    """The client of the model, see :func:`trulysafe.llm.client.open_client`."""
    from trulysafe.llm import client

    return client.open_client(**arguments)


def judge_by_llm(answers: kinds.Frame, rubric: Rubric, options: LlmOptions, client: Any) -> kinds.Frame:
    """Class answers by a language model: :func:`trulysafe.judges._asked.judge_each`. UserError: no client; an endpoint
    that gave up; a model of whose answers none can be read."""
    if client is None:
        do = "Open one with trulysafe.llm.client.open_client."
        raise UserError(f"judge of kind {rubric.kind!r}: no client was given. {do}")
    return judge_each(answers, options.characters, lambda asked: _ask(rubric, asked, options, client), rubric.verdict)


def _ask(rubric: Rubric, asked: list[Conversation], options: LlmOptions, client: Any) -> dict[Conversation, Heard]:
    """What the model says of each conversation."""
    from trulysafe.llm.messages import Request
    from trulysafe.llm.structured import ask_for

    requests = [
        Request.of(system=rubric.system, user=rubric.told["ask"].format(prompt=_text(prompt), response=_text(response)))
        for prompt, response in asked
    ]
    outcomes = ask_for(client, requests, rubric.form, options.attempts)
    _tell(rubric, client, outcomes, options.attempts)
    return {one: Heard(outcome.value, outcome.text) for one, outcome in zip(asked, outcomes, strict=True)}


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _tell(rubric: Rubric, client: Any, outcomes: Sequence[Any], attempts: int) -> None:
    """Log how many answers could not be read, and why; UserError where that is all of many."""
    from trulysafe.llm.structured import nothing_read

    problems = Counter(outcome.problem for outcome in outcomes if outcome.value is None)
    if not (unread := problems.total()):
        return
    if unread == len(outcomes) >= NONSENSE:
        raise UserError(f"judge of kind {rubric.kind!r}: {nothing_read(client, outcomes, attempts, 'conversations')}")
    counts = ", ".join(f"{count} times {problem}" for problem, count in problems.most_common(3))
    told = f"{unread} of {len(outcomes)} answers of {client.name} cannot be read ({counts})"
    logger.warning("judge of kind %r: %s. They count as malformed.", rubric.kind, told)
