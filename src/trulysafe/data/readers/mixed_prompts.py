"""Prompts of mixed risk (MHD) that a language model makes of one explicit (EHD) and one implicit (IHD) seed each; what
it is told is in ``mixed_prompts.toml``."""

import tomllib
from pathlib import Path
from typing import Any, ClassVar

from trulysafe.common.kinds import Frame
from trulysafe.data.sources import HARMFUL
from trulysafe.data.synthesis import Ask, AskingOptions, answer, class_pairs, quoted

GROUP = "mixed"
_TOLD: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


class Options(AskingOptions):
    NEEDS: ClassVar = ("datasets", "llm")


def asks(seeds: Frame, options: Options) -> list[Ask]:
    """One prompt for each pair of seeds."""
    fields, example = {"risk": "MHD", "meta": HARMFUL}, _TOLD["example"]
    shown = _asked(example["explicit"], example["implicit"]), answer(example["mixed"])
    return [
        Ask(
            GROUP,
            (explicit, implicit),
            fields,
            _TOLD["role"],
            shown,
            _asked(explicit["prompt"], implicit["prompt"]),
            (*example.values(), explicit["prompt"], implicit["prompt"]),
        )
        for explicit, implicit in class_pairs(seeds, options)
    ]


def _asked(explicit: str, implicit: str) -> str:
    asked: str = _TOLD["ask"].format(explicit=quoted(explicit), implicit=quoted(implicit))
    return asked
