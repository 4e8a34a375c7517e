"""Options of a fit of the token-classification reward model, known without torch."""

from __future__ import annotations

from pydantic import Field

from trulysafe.common.options import Count, NotNegative, Positive, Table


class TokenFit(Table):
    """How :func:`trulysafe.token_rewards.sources.token_rm.fit_token_rm` fits."""

    epochs: Count = Field(3, description="Passes over the responses.")
    batch_size: Count = Field(16, description="Responses per step.")
    learning_rate: Positive = Field(1e-4, description="Peak of AdamW, linear decay.")
    weight_decay: NotNegative = Field(0.01, description="Of AdamW.")
