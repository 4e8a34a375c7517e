"""The reward model that trains along with the policy (RBRM): its own optimiser, its own part of a checkpoint."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from trulysafe.common.errors import UserError
from trulysafe.methods.parts import Confidence
from trulysafe.reward.calibration import calibrate
from trulysafe.reward.evaluate import ranked
from trulysafe.reward.model import HybridReward, reward_margin_loss
from trulysafe.reward.states import paired_states
from trulysafe.trainers.checkpoints import load_optimizer, save_optimizer

FOLDER, STATE = "online_reward", "optimizer.safetensors"
RATE, NARROW = 0.01, 16.0
"""Adam's rate in the paper, and up to which layers x root of the width a reward takes all of it. Adam moves every
weight by about its rate, so an update moves a reward by that times the sum over layers of its states' absolute values,
and that sum grows so for states of one norm."""
FALL = 0.05
"""By how much the AUC on the validation states may fall before a warning."""
logger = logging.getLogger("trulysafe")


class OnlineReward:
    """A hybrid reward read, and with ``train`` updated (in place), at every micro-batch. ``validation`` holds safe and
    unsafe states, each [N, L, D], to refit offset and temperature on, and for the AUC that is logged. UserError: the
    calibration is to be refitted, and no states are given, or another model's."""

    def __init__(
        self, reward: HybridReward, options: Confidence, train: bool, validation: tuple[Tensor, Tensor] | None = None
    ) -> None:
        self.reward, self.train, self.validation, self.start_auc = reward, train, None, 0.0
        self.calibrate_every, self._warned = options.calibrate_every, False
        if train and validation and min(map(len, validation)):
            self.validation = paired_states(*validation, minimum=1)
            self.start_auc = self.auc()  # refuses states of another model
        elif train and options.calibrate_every:
            why = "the online reward has no validation states to refit its calibration on"
            give = "Give them (validation_states; in a configuration rewards.<name>.fit.validation_share)"
            raise UserError(f"confidence.calibrate_every: {why}. {give}, or set calibrate_every to 0.")
        self.learning_rate = options.learning_rate
        if self.learning_rate is None:
            self.learning_rate = RATE * min(1.0, NARROW / (reward.num_layers * reward.hidden_size**0.5))
        self.optimizer = torch.optim.Adam(reward.parameters(), lr=self.learning_rate, weight_decay=options.weight_decay)

    @torch.no_grad()
    def read(self, states: Tensor) -> Tensor:
        """Calibrated rewards of states [N, L, D], shape [N], before any update of this step."""
        return self.reward.calibrated(self.reward(states))

    def update(self, chosen: Tensor, rejected: Tensor) -> float:
        """One Adam step on ``-log sigmoid(r_c - r_r - 1)`` with labels as given; returns the loss before it. Both sides
        are detached states of the responses of all processes, [N, L, D], so that all keep one reward; N is at least 1:
        without a pair Adam would still move the weights, by its moments and the weight decay."""
        self.optimizer.zero_grad()
        loss = reward_margin_loss(self.reward(chosen), self.reward(rejected)).mean()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def end_step(self, step: int) -> dict[str, float]:
        """After every ``calibrate_every``-th optimiser step refit the calibration; returns what each step logs."""
        if self.calibrate_every and step % self.calibrate_every == 0 and self.validation:
            calibrate(self.reward, *self.validation)
        logged = {name: float(getattr(self.reward, name)) for name in ("offset", "temperature")}
        return logged | ({"auc": self.auc()} if self.validation else {})

    @torch.no_grad()
    def auc(self) -> float:
        """Share of validation states of both sides, each against each, that the reward ranks right."""
        assert self.validation
        safe, unsafe = (self.reward(side.to(self.reward.gate.device)).cpu() for side in self.validation)
        return float(ranked(safe[:, None], unsafe).mean())

    def warn_once(self, step: int, auc: float) -> None:
        """Say so, once, where training made the reward worse."""
        if not self._warned and auc < self.start_auc - FALL:
            self._warned = True
            logger.warning(
                "step %d: the online reward's AUC on its validation states fell from %.3f at the start to %.3f, so "
                "gamma reads a worse reward. Lower confidence.learning_rate (%.2g here), or set confidence.online to "
                "false.",
                step, self.start_auc, auc, self.learning_rate,
            )  # fmt: skip

    def save(self, checkpoint: Path | str) -> None:
        """Write reward and optimiser state into a folder of a trainer checkpoint."""
        folder = Path(checkpoint) / FOLDER
        self.reward.save_pretrained(folder)
        save_optimizer(self.optimizer, folder / STATE, {"start_auc": json.dumps(self.start_auc)})

    def load(self, checkpoint: Path | str) -> None:
        """Restore what :meth:`save` wrote: training goes on exactly."""
        folder = Path(checkpoint) / FOLDER
        self.reward.load_state_dict(HybridReward.from_pretrained(folder).state_dict())
        self.start_auc = json.loads(load_optimizer(self.optimizer, folder / STATE)["start_auc"])


class EndOfStep(TrainerCallback):
    """Tells a trainer's online reward that an optimiser step is over, and logs what it says."""

    def __init__(self, trainer: Any, reward: OnlineReward) -> None:
        self.trainer, self.reward = trainer, reward

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Log by TRL's metrics, which a checkpoint keeps."""
        found = self.reward.end_step(state.global_step)
        for name, value in found.items():
            self.trainer._metrics["train"][f"reward_model/{name}"].append(value)
        if "auc" in found and state.is_world_process_zero:
            self.reward.warn_once(state.global_step, found["auc"])
