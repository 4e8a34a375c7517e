"""What judges the responses that a policy samples while it trains: the frozen hybrid reward, or any judge of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.common.schema import RISKS
from trulysafe.judges.outcomes import AXES
from trulysafe.judges.registry import judged
from trulysafe.models.tokens import Encoded
from trulysafe.reward.model import HybridReward
from trulysafe.reward.read import endpoint_rewards
from trulysafe.trainers.meter import Meter

PROMPT, META = "judged_prompt", "judged_meta"
"""Columns of the training set that a judge of texts reads."""


class OnlineJudge(Protocol):
    """Scores finished responses; the best and the worst of a prompt make a pair, and equal ones make none."""

    def scores(self, examples: Sequence[Mapping[str, Any]], responses: Sequence[Encoded], meter: Meter) -> list[float]:
        """Score responses, one number each, the higher the better.

        Args:
            examples: the row of the training set that each response is to.
            responses: prompt and response as token ids.
            meter: gets the tokens that go through a model.
        """


class RewardJudge:
    """The frozen hybrid reward, read at the endpoint of the reference's states and calibrated.

    Args:
        reference: the frozen model that the policy is held against.
        reward: fitted on states of that model.
        pad: id of the padding token.

    Raises:
        UserError: the reward reads other states than those of the endpoint.
    """

    def __init__(self, reference: Any, reward: HybridReward, pad: int) -> None:
        pooling = reward.identity.get("pooling", "eos")
        if pooling != "eos":
            raise UserError(f"online pairs: the reward reads states pooled as {pooling!r}. Name one with pooling: eos.")
        self.reference, self.reward, self.pad = reference, reward, pad

    def scores(self, examples: Sequence[Mapping[str, Any]], responses: Sequence[Encoded], meter: Meter) -> list[float]:
        """See :class:`OnlineJudge`: calibrated rewards."""
        meter.tokens["judging"] += sum(len(item.prompt_ids) + len(item.response_ids) for item in responses)
        return endpoint_rewards(self.reference, responses, self.pad, len(responses), self.reward)


class TextJudge:
    """A judge of :data:`trulysafe.judges.registry.JUDGES`: 1 for a response that counts as safe (``refuses``, ``safe_completion``), 0 for any other.

    Args:
        spec: ``kind``, ``options`` and, for a judge that is fitted, ``artefact``, the folder of its fit.
        tokenizer: makes texts of token ids.
    """

    def __init__(self, spec: Mapping[str, Any], tokenizer: Any) -> None:
        self.spec, self.tokenizer = spec, tokenizer

    def scores(self, examples: Sequence[Mapping[str, Any]], responses: Sequence[Encoded], meter: Meter) -> list[float]:
        """See :class:`OnlineJudge`: 1 or 0. No tokens are counted, as none go through the model."""
        texts = self.tokenizer.batch_decode([item.response_ids for item in responses], skip_special_tokens=True)
        answers = pd.DataFrame(
            {
                "prompt": [example[PROMPT] for example in examples],
                "meta": [example[META] for example in examples],
                "risk": [RISKS[example["risk"]] for example in examples],
                "response": [text.strip() for text in texts],
                "finished": True,
            }
        )
        artefact = Path(self.spec["artefact"]) if self.spec.get("artefact") else None
        verdicts = judged(answers, self.spec["kind"], dict(self.spec["options"]), artefact)["verdict"]
        return verdicts.isin(AXES["safety"]["safe"]).astype(float).tolist()
