"""The reward model that trains along with the policy (RBRM): its own optimiser, its own part of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trulysafe.common.errors import UserError
from trulysafe.methods.method import Confidence
from trulysafe.reward.calibration import calibrate
from trulysafe.reward.model import HybridReward, reward_margin_loss
from trulysafe.reward.states import paired_states

FOLDER = "online_reward"


class OnlineReward:
    """A hybrid reward read, and if asked updated (in place), at every micro-batch.

    Args:
        reward: the fitted reward.
        options: learning rate and weight decay of Adam, and the updates between refits of offset and temperature.
        train: whether it trains at all.
        validation: safe and unsafe validation states, each [N, L, D], for those refits.

    Raises:
        UserError: the calibration is to be refitted, and there are no states for it or states of another model.
    """

    def __init__(
        self,
        reward: HybridReward,
        options: Confidence,
        train: bool,
        validation: tuple[Tensor, Tensor] | None = None,
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
        """One Adam step on ``-log sigmoid(r_c - r_r - 1)`` with labels as given, never as reordered.

        Args:
            chosen: detached states of the chosen responses of all processes, [N, L, D], so that all keep one reward;
                N is at least 1: without a pair Adam would still move the weights, by its moments and the weight decay.
            rejected: the same for the rejected ones.

        Returns:
            The loss before the step.
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
        state = self.optimizer.state_dict()["state"]
        tensors = {f"{index}.{key}": value.clone() for index, values in state.items() for key, value in values.items()}
        save_file(tensors, folder / "optimizer.safetensors")
        (folder / "progress.json").write_text(json.dumps({"updates": self.updates}), encoding="utf-8")

    def load(self, checkpoint: Path | str) -> None:
        """Restore what :meth:`save` wrote: training goes on exactly."""
        folder = Path(checkpoint) / FOLDER
        saved = HybridReward.from_pretrained(folder)
        self.reward.load_state_dict(saved.state_dict())
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in load_file(folder / "optimizer.safetensors").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.updates = int(json.loads((folder / "progress.json").read_text(encoding="utf-8"))["updates"])
