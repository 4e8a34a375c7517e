"""The implicit reward of an experiment's policy: log-probability of each token under it less that under the model, or
under the policy of another experiment (``against``).

The second is TIS-DPO's estimate of a token's reward (Liu et al., 2024, arXiv 2410.04350, section on DPO-based
estimation): the first policy is trained on the pairs, the other one on the same pairs turned round.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from trulysafe.common.kinds import Options as Base

if TYPE_CHECKING:
    from trulysafe.models.load import Spec
    from trulysafe.models.tokens import Encoded
    from trulysafe.token_rewards.artefact import Reader, Values


class Options(Base):
    """None."""

    NEEDS: ClassVar = ("experiment",)
    READS: ClassVar = ("against",)


def reader(options: Options, artefact: Path | str, model: Spec, policy: Spec, pad: int, batch_size: int) -> Reader:
    """Reader of log pi - log ref of each response token, nats; both models are loaded here. ``model`` is the reference:
    where there is one, the policy that ``policy`` is held against."""
    from trulysafe.models.load import load_model
    from trulysafe.models.scoring import token_logps
    from trulysafe.reward.token_scale import implicit

    policy_model, reference = load_model(policy), load_model(model)

    def read(conversations: Sequence[Encoded]) -> Values:
        both = [token_logps(one, conversations, pad, batch_size) for one in (policy_model, reference)]
        return [implicit(*pair) for pair in zip(*both, strict=True)]

    return read
