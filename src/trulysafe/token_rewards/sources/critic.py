"""The critic of a PPO policy: its value after each token, which is what it expects of a response that begins so.

Equilibrate RLHF masks DPO by rewards of tokens and PPO by values of its critic (arXiv 2502.11555); this reads the
second for the first. The critic is that of the end of the experiment's training (first seed), kept beside its policy.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from trulysafe.common.errors import UserError
from trulysafe.common.kinds import Options as Base

if TYPE_CHECKING:
    from trulysafe.models.load import Spec
    from trulysafe.token_rewards.artefact import Reader


class Options(Base):
    """None."""

    NEEDS: ClassVar = ("experiment",)


def reader(options: Options, artefact: Path | str, model: Spec, policy: Spec, pad: int, batch_size: int) -> Reader:
    """Reader of the value after each response token, of the critic beside ``policy``, which is loaded here. UserError:
    there is none, or it has other tokens than ``model``."""
    from trulysafe.models.load import config_of, load_token_classifier
    from trulysafe.models.scoring import token_outputs

    folder = Path(str(policy["source"])).parent / "critic"
    if not folder.is_dir():
        raise UserError(
            f"token_rewards: {folder} does not exist, so that policy has no critic. Train it with loss: ppo."
        )
    config, needed = config_of({"source": str(folder)}), config_of(model).get_text_config().vocab_size
    found = config.get_text_config().vocab_size
    if (found, config.num_labels) != (needed, 1):
        what = f"has {found} tokens and {config.num_labels} values for each; needed are {needed} tokens and 1 value"
        raise UserError(f"token_rewards: the critic in {folder} {what}. Train the policy anew.")
    critic = load_token_classifier({"source": str(folder)}, labels=1)
    return lambda conversations: token_outputs(critic, conversations, pad, batch_size)
