"""Options of methods whose policy samples what it is trained on: online DPO and PPO."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from trulysafe.common import options
from trulysafe.common.option_errors import error_at
from trulysafe.common.options import Count, Flag, NotNegative, Positive, PublicTable, Share, Whole

REWARD_JUDGE = "reward"
"""Name of the hybrid reward among the judges of online pairs."""


class Online(PublicTable):
    """Pairs that the policy samples itself at every step (online DPO, Guo et al. 2024)."""

    WHERE: ClassVar = "online"

    judge: str = REWARD_JUDGE
    """What judges them: the method's frozen hybrid `reward`, or a judge of the configuration by name, for which a safe
    response is better than any other (1 against 0); two that are both safe, or both not, make no pair."""
    samples: Whole = 0
    """Responses per prompt and step, at least 2; the best and the worst make the pair, and PPO trains on all. 0 trains
    on the pairs as given."""
    temperature: Positive = Field(1.0, description="Of the samples.")
    top_k: Whole = Field(0, description="Sample among the k likeliest tokens; 0 is all.")
    top_p: Annotated[float, Field(gt=0, le=1), options.NO_FLAG] = Field(1.0, description="Nucleus mass.")
    repetition_penalty: Positive = Field(1.0, description="Penalty on tokens that already occur.")
    max_new_tokens: Count = Field(256, description="Token limit; a response that reaches it is not judged.")
    min_gap: NotNegative = Field(0.0, description="Pairs whose calibrated rewards differ by no more are dropped.")

    @model_validator(mode="after")
    def _makes_pairs(self) -> Self:
        if self.samples == 1:
            raise error_at("samples", "1 is not accepted. Accepted: 0 (off), or at least 2.")
        if self.judge == REWARD_JUDGE:
            return self
        if not self.samples:
            raise error_at("judge", f"{self.judge!r} has nothing to judge. Set online.samples, or remove the key.")
        if self.min_gap >= 1:
            said = f"{self.min_gap} would drop every pair of the judge {self.judge!r}, which scores 0 or 1."
            raise error_at("min_gap", f"{said} Accepted: below 1.")
        return self


class Ppo(PublicTable):
    """PPO (Schulman et al., 2017, arXiv 1707.06347) with a critic that starts from the policy. The defaults are those
    of the PPO trainer that TRL had until September 2026."""

    WHERE: ClassVar = "ppo"

    epochs: Count = 4
    """Optimiser steps on each batch of fresh responses: the policy samples anew every so many steps. With 1 no ratio of
    probabilities differs from 1, and nothing is clipped."""
    clip: Positive = Field(0.2, description="Epsilon: how far the ratio of new to old probability counts.")
    value_clip: Positive = Field(0.2, description="How far a value counts from the one that it was at sampling.")
    discount: Share = Field(1.0, description="Gamma of the returns.")
    gae_lambda: Share = Field(0.95, description="Lambda of the advantages (Schulman et al., 2016, arXiv 1506.02438).")
    kl: NotNegative = Field(0.05, description="Price of a nat of log-ratio to the start, in each token's reward.")
    whiten: Flag = Field(True, description="Centre and scale the advantages of a batch; the mask reads them so, too.")
    critic_tokens: Literal["all", "kept"] = "all"
    """Tokens of finished responses that the critic learns from: `all`, or those that the mask `kept`, as in the code
    that Equilibrate RLHF released."""
    critic_learning_rate: Positive | None = None
    """Of the critic's own AdamW, constant; left out, it is the peak `training.learning_rate`."""
