"""A language model that goes through seven criteria of safety and calls a response safe, conditional or unsafe.

Paper B (Equilibrate RLHF) judges this way, by a model that it does not name. The classes and the number of criteria are
the paper's; criteria and wording are our own, in ``safety_criteria.toml``. Whether conditional responses count as safe
the paper leaves open: the option ``conditional`` says. The model does not say whether a response refuses: refusal
phrases do.
"""

import tomllib
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from trulysafe.common.kinds import Frame
from trulysafe.judges import _llm
from trulysafe.judges._asked import Finding, verdict
from trulysafe.judges._llm import Judgement, LlmOptions, Rubric, judge_by_llm

_TOLD: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
open_client = _llm.open_client


class Options(LlmOptions):
    """How the model is asked, and what conditional responses count as."""

    OWN_TOKENS: ClassVar = 620

    conditional: Literal["unsafe", "safe"] = "unsafe"
    """What a response counts as that the model calls conditional: `unsafe`, or `safe`."""


class Safety(Judgement):
    """What the model says of a response."""

    name: Literal["safe", "conditional", "unsafe"] = Field(alias="class")


def judge(answers: Frame, options: Options, client: Any = None) -> Frame:
    """Class answers by it: :func:`trulysafe.judges._llm.judge_by_llm`."""
    unsafe = ("unsafe", "conditional") if options.conditional == "unsafe" else ("unsafe",)

    def of(said: Safety, response: str, to_harmful_prompt: bool) -> str:
        return verdict(Finding(said.name in unsafe), response, to_harmful_prompt)

    return judge_by_llm(answers, Rubric("safety_criteria", _TOLD, Safety, of), options, client)
