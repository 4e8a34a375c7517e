"""The label confidence of a training step: read from the reward, logged, and followed by the reward's own update (paper A)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trulysafe.common.ids import stable_seed
from trulysafe.methods.confidence import label_confidence
from trulysafe.methods.controls import shuffled_rewards
from trulysafe.methods.method import Method
from trulysafe.models.layer_states import LayerStates
from trulysafe.reward.model import HybridReward
from trulysafe.trainers.meter import Meter
from trulysafe.trainers.online_reward import OnlineReward
from trulysafe.trainers.over_processes import OverProcesses


class ReadsConfidence(OverProcesses):
    """Mixin of a TRL trainer: gamma of the pairs of a micro-batch."""

    args: Any
    method: Method
    meter: Meter
    reward: OnlineReward | None
    state: Any

    def _confidence(self, states: LayerStates | None, inputs: dict[str, Any], in_scope: Tensor) -> Tensor:
        """Detached gamma per pair, [batch]; the reward is read before its online update, and pairs out of scope get 1."""
        options = self.method.confidence
        gamma = torch.ones(len(in_scope), device=in_scope.device)
        if options.kind == "none":
            return gamma
        if options.kind == "fixed":
            return torch.where(in_scope, torch.full_like(gamma, options.value), gamma)
        # The micro-batch is that of all processes together: gamma and the online reward do not depend on how it is spread.
        everywhere = self._gather(in_scope)
        if states is not None and self.reward is not None:
            with self.meter.timed("reading"):
                chosen_states, rejected_states = (self._gather(side)[everywhere] for side in states.stacked().chunk(2))
                chosen, rejected = self.reward.read(chosen_states), self.reward.read(rejected_states)
            self.meter.tokens["reading"] += len(chosen) + len(rejected)
        else:
            sides = (self._gather(inputs[f"{side}_reward"].float())[everywhere] for side in ("chosen", "rejected"))
            chosen, rejected = sides
        if everywhere.any():
            read = chosen, rejected
            if options.shuffle != "none":
                read = shuffled_rewards(chosen, rejected, options.shuffle, self._batch_generator(inputs))
            of_all = torch.ones(len(everywhere), device=gamma.device)
            of_all[everywhere] = label_confidence(*read, options.alpha, options.floor, options.per_pair)
            gamma = of_all.view(self.accelerator.num_processes, -1)[self.accelerator.process_index]
            self._record_confidence(of_all[everywhere], chosen, rejected, inputs, everywhere)
            if states is not None and self.reward is not None and self.reward.train and self._training:
                self._update_reward(self.reward, chosen_states.float(), rejected_states.float())
        return gamma

    def _update_reward(self, reward: OnlineReward, chosen: Tensor, rejected: Tensor) -> None:
        """Let the reward learn from the pairs that it was just read on."""
        with torch.enable_grad():
            loss = reward.update(chosen, rejected)
        fitted = reward.reward
        self._record(
            **{
                "reward_model/loss": torch.tensor([loss]),
                "reward_model/offset": fitted.offset.reshape(1),
                "reward_model/temperature": fitted.temperature.reshape(1),
            }
        )

    def _batch_generator(self, inputs: dict[str, Any]) -> torch.Generator:
        """Draws of a micro-batch, the same in every process."""
        rows = self._gather(inputs["pair_index"]) if "pair_index" in inputs else inputs["input_ids"].flatten()
        return torch.Generator().manual_seed(
            stable_seed("confidence", self.args.seed, self.state.global_step, *rows.tolist())
        )

    def _record_confidence(
        self, gamma: Tensor, chosen: Tensor, rejected: Tensor, inputs: dict[str, Any], in_scope: Tensor
    ) -> None:
        """Log gamma and what the reward says of the pairs in scope, of all processes; apart for pairs whose label was flipped on purpose."""
        right = (chosen > rejected).float()
        self._record(confidence=gamma)
        self._record(
            **{"reward_model/accuracy": right, "reward_model/chosen": chosen, "reward_model/rejected": rejected}
        )
        if "flipped" in inputs:
            flipped = self._gather(inputs["flipped"])[in_scope]
            for name, rows in (("clean", ~flipped), ("flipped", flipped)):
                self._record(**{f"confidence/{name}": gamma[rows], f"reward_model/accuracy_{name}": right[rows]})

    def _place_reward(
        self, reward: HybridReward | None, validation: tuple[Tensor, Tensor] | None
    ) -> OnlineReward | None:
        if reward is None:
            return None
        options = self.method.confidence
        return OnlineReward(
            reward.to(self.accelerator.device),
            train=self.method.reads_policy_states and options.online,
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
            calibrate_every=options.calibrate_every,
            validation=validation,
        )
