"""A judge of the configuration as the judge of online pairs: it reads texts, where the trainer samples token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from trulysafe.common.schema import RISKS
from trulysafe.evaluate.judging import judged
from trulysafe.evaluate.outcomes import AXES
from trulysafe.models.tokens import Encoded

PROMPT, META = "judged_prompt", "judged_meta"
"""Columns of the training set that a judge of texts reads, beside ``risk``."""


class TextJudge:
    """An :data:`trulysafe.trainers.online_pairs.OnlineJudge`: 1 for a response that counts as safe, 0 for any other.

    Args:
        spec: ``kind``, ``options`` and, for a judge that is fitted, ``artefact``, the folder of its fit.
        tokenizer: makes texts of token ids.
    """

    columns = (PROMPT, META, "risk")

    def __init__(self, spec: Mapping[str, Any], tokenizer: Any) -> None:
        self.spec, self.tokenizer = spec, tokenizer

    def __call__(self, examples: Sequence[Mapping[str, Any]], responses: Sequence[Encoded]) -> list[float]:
        """Score responses: 1 or 0."""
        texts = self.tokenizer.batch_decode([item.response_ids for item in responses], skip_special_tokens=True)
        answers = pd.DataFrame({"response": [text.strip() for text in texts], "finished": True})
        answers["prompt"], answers["meta"] = [row[PROMPT] for row in examples], [row[META] for row in examples]
        answers["risk"] = [RISKS[row["risk"]] for row in examples]
        return judged(answers, self.spec)["verdict"].isin(AXES["safety"]["safe"]).astype(float).tolist()
