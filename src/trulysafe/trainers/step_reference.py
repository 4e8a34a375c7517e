"""The reference's part in a training step: stored in the data set, or computed by the model that training began from."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from trulysafe.methods.method import Method
from trulysafe.models.layer_states import LayerStates
from trulysafe.reward.model import HybridReward
from trulysafe.trainers.compact_head import token_log_probs


class ReadsReference:
    """Mixin of a TRL trainer: log-probabilities under the reference, and token rewards read from its states."""

    accelerator: Any
    args: Any
    method: Method
    model: Any
    ref_model: Any
    _token_reward: HybridReward | None

    def _reference(self, tokens: dict[str, Tensor], inputs: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        """Reference log-probabilities, [rows, places] or summed [rows], and token rewards [rows, places] if the mask needs them."""
        masked = self.method.mask.rule != "none"
        rewards = inputs["token_rewards"][:, 1:] if "token_rewards" in inputs else None
        if "ref_token_logps" in inputs:
            return inputs["ref_token_logps"][:, 1:], rewards
        if "ref_chosen_logps" in inputs and not masked:
            return torch.cat([inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]]), rewards
        base: Any = self.accelerator.unwrap_model(self.model)
        peft = hasattr(base, "peft_config") and self.ref_model is None
        adapter = (
            use_adapter(base, adapter_name="ref" if "ref" in base.peft_config else None) if peft else nullcontext()
        )
        reference: Any = self.model if peft else self.ref_model
        policy: Any = self.model
        checkpointing: Any = self.args.gradient_checkpointing_kwargs
        read = (
            LayerStates(reference, transform=self._token_reward.probe)
            if masked and rewards is None and self._token_reward
            else None
        )
        with (
            torch.no_grad(),
            disable_gradient_checkpointing(policy, checkpointing),
            adapter,
        ):
            with read or nullcontext():
                logps = token_log_probs(reference, **tokens, completion=inputs["completion_mask"])
            if read is not None and self._token_reward is not None:
                rewards = self._token_reward.calibrated(self._token_reward.combine(read.stacked()))[:, 1:]
        return logps, rewards

    def _frozen(self, reward: HybridReward | None) -> HybridReward | None:
        """The reward that masks read: a copy, which stays as it is where the confidence's trains along."""
        return None if reward is None else copy.deepcopy(reward).to(self.accelerator.device).requires_grad_(False)
