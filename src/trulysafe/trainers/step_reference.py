"""The reference's part in a training step: stored in the data set, or computed by the model that training began from."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from trulysafe.layer_states import LayerStates
from trulysafe.methods import Method
from trulysafe.trainers.online_reward import OnlineReward


class ReadsReference:
    """Mixin of a TRL trainer: log-probabilities under the reference, and token rewards read from its states."""

    accelerator: Any
    args: Any
    method: Method
    model: Any
    ref_model: Any
    reward: OnlineReward | None

    def _reference(
        self, tokens: dict[str, Tensor], labels: Tensor, inputs: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
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
            LayerStates(reference, transform=self.reward.reward.probe)
            if masked and rewards is None and self.reward
            else None
        )
        with (
            torch.no_grad(),
            disable_gradient_checkpointing(policy, checkpointing),
            adapter,
        ):
            with read or nullcontext():
                logps = reference(**tokens, labels=labels, fused_lm_head=True, use_cache=False).log_probs
            if read is not None and self.reward is not None:
                rewards = self.reward.reward.calibrated(self.reward.reward.combine(read.stacked()))[:, 1:]
        return logps, rewards
