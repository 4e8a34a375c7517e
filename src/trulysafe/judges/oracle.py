"""The demo world's own oracle: exact, because the world knows what every sentence that it can make means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trulysafe.common import kinds

if TYPE_CHECKING:
    import pandas as pd


class Options(kinds.Options):
    """None."""


def judge(answers: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Class answers to prompts of the demo world.

    Args:
        answers: table with the columns ``response`` and ``meta`` (the facts that the world put beside the prompt).
        options: none.

    Returns:
        Columns ``verdict`` and ``correct`` (null where the prompt has no checkable answer), on the index of ``answers``.
    """
    import pandas as pd

    from trulysafe.common.schema import meta_of
    from trulysafe.data.demo.oracle import classify

    classed = [
        classify(meta_of({"meta": meta}), text) for meta, text in zip(answers["meta"], answers["response"], strict=True)
    ]
    correct = pd.array([correct for _, correct in classed], dtype="boolean")
    return pd.DataFrame({"verdict": [verdict for verdict, _ in classed], "correct": correct}, index=answers.index)
