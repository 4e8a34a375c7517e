"""The reward model that trains along with the policy (RBRM): its own optimiser, its own part of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from trulysafe.common.errors import UserError
from trulysafe.methods.method import Confidence
from trulysafe.reward.calibration import calibrate
from trulysafe.reward.model import HybridReward, reward_margin_loss
from trulysafe.reward.states import paired_states

FOLDER, STATE = "online_reward", "optimizer.pt"


class OnlineReward:
    """A hybrid reward read, and with ``train`` updated (in place), at every micro-batch.

    ``validation`` holds safe and unsafe states, each [N, L, D], to refit offset and temperature on. UserError: the
    calibration is to be refitted, and there are no states for it or states of another model.
    """

    def __init__(
        self, reward: HybridReward, options: Confidence, train: bool, validation: tuple[Tensor, Tensor] | None = None
    ) -> None:
        if train and options.calibrate_every:
            if not (validation and min(map(len, validation))):
                raise UserError(
                    "confidence.calibrate_every: the online reward has no validation states to refit its calibration "
                    "on. Give them (validation_states; in a configuration rewards.<name>.fit.validation_share), or set "
                    "calibrate_every to 0."
                )
            validation = paired_states(*validation, minimum=1)
            reward.standardised(validation[0][:1].to(reward.gate.device))  # refuses states of another model
        self.reward, self.train, self.validation, self.updates = reward, train, validation, 0
        self.calibrate_every = options.calibrate_every
        self.optimizer = torch.optim.Adam(
            reward.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )

    @torch.no_grad()
    def read(self, states: Tensor) -> Tensor:
        """Calibrated rewards of states [N, L, D], shape [N], before any update of this step."""
        return self.reward.calibrated(self.reward(states))

    def update(self, chosen: Tensor, rejected: Tensor) -> float:
        """One Adam step on ``-log sigmoid(r_c - r_r - 1)`` with labels as given; returns the loss before it.

        Both sides are detached states of the responses of all processes, [N, L, D], so that all keep one reward; N is
        at least 1: without a pair Adam would still move the weights, by its moments and the weight decay.
        """
        self.optimizer.zero_grad()
        loss = reward_margin_loss(self.reward(chosen), self.reward(rejected)).mean()
        loss.backward()
        self.optimizer.step()
        self.updates += 1
        if self.calibrate_every and self.updates % self.calibrate_every == 0 and self.validation is not None:
            calibrate(self.reward, *self.validation)
        return float(loss.detach())

    def save(self, checkpoint: Path | str) -> None:
        """Write reward and optimiser state into a folder of a trainer checkpoint."""
        folder = Path(checkpoint) / FOLDER
        self.reward.save_pretrained(folder)
        torch.save({"optimizer": self.optimizer.state_dict(), "updates": self.updates}, folder / STATE)

    def load(self, checkpoint: Path | str) -> None:
        """Restore what :meth:`save` wrote: training goes on exactly."""
        folder = Path(checkpoint) / FOLDER
        self.reward.load_state_dict(HybridReward.from_pretrained(folder).state_dict())
        saved = torch.load(folder / STATE, weights_only=True)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.updates = saved["updates"]
