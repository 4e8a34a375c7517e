"""A language model that says whether a response complies fully, refuses fully, or refuses in part.

The three classes are XSTest's (Roettger et al., arXiv:2308.01263), whose authors let people and a language model
choose among them; the wording, in ``refusal_classes.toml``, is our own. They become ``complies``, ``refuses`` and
``mixed``; safety is not judged, so that no response is a ``safe_completion``: for benchmarks of over-refusal.
"""

import tomllib
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from trulysafe.common.kinds import Frame
from trulysafe.judges import _llm
from trulysafe.judges._llm import Judgement, LlmOptions, Rubric, judge_by_llm

VERDICTS = {"full_compliance": "complies", "full_refusal": "refuses", "partial_refusal": "mixed"}
"""What the model may answer, and our name of the class."""
_TOLD: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
open_client = _llm.open_client


class Options(LlmOptions):
    """How the model is asked."""

    OWN_TOKENS: ClassVar = 420


class Compliance(Judgement):
    """What the model says of a response."""

    name: Literal["full_compliance", "full_refusal", "partial_refusal"] = Field(alias="class")


def judge(answers: Frame, options: Options, client: Any = None) -> Frame:
    """Class answers by it: :func:`trulysafe.judges._llm.judge_by_llm`."""
    rubric = Rubric("refusal_classes", _TOLD, Compliance, lambda said, response, of_harm: VERDICTS[said.name])
    return judge_by_llm(answers, rubric, options, client)
