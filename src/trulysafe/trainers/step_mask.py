"""The token mask of a training step, with its controls and its log (paper B)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trulysafe.common.schema import RISKS, UNLABELLED
from trulysafe.methods.controls import random_control, row_generators, shuffled_control
from trulysafe.methods.masks import kept_share, training_mask
from trulysafe.methods.method import Method
from trulysafe.trainers.over_processes import OverProcesses


class MasksTokens(OverProcesses):
    """Mixin of a TRL trainer: which tokens of a micro-batch count."""

    args: Any
    method: Method

    def _message_mask(
        self, token_rewards: Tensor | None, response: Tensor, in_scope: Tensor, inputs: dict[str, Any]
    ) -> Tensor:
        """Mask over the places of ``response`` ([chosen; rejected] rows); ones where the method has no mask or no say."""
        ones, options = response.float(), self.method.mask
        if options.rule == "none" or token_rewards is None:  # check_required refuses a mask without token rewards
            return ones
        chosen = torch.arange(len(response), device=response.device) < len(response) // 2
        draws = [] if options.control in ("none", "ones") else self._draws(inputs)
        if options.control == "shuffled":
            token_rewards = shuffled_control(token_rewards, response, draws, options.baseline, options.width)
        rows = in_scope.repeat(2)
        if options.rule == "batch_mean":  # over all processes, and over the pairs that the reward speaks about
            baseline = self._mean(token_rewards[response.bool() & rows[:, None]].detach()) or 0.0
            options = options.model_copy(update={"rule": "threshold", "baseline": baseline})
        mask, fell_back = training_mask(token_rewards, response, chosen, options)
        if options.control == "random":
            mask = random_control(mask, response, draws, options.eos)
        elif options.control == "ones":
            mask = ones
        share = kept_share(mask, response)
        self._record(**{"kept_share/chosen": share[rows & chosen], "kept_share/rejected": share[rows & ~chosen]})
        self._record(**{"kept_share/fell_back": fell_back[rows].float()})
        if "risk" in inputs:
            risks = inputs["risk"].repeat(2)
            for code, risk in enumerate(RISKS):
                of_risk, name = rows & (risks == code), risk or UNLABELLED
                self._record(**{f"kept_share/{name}": share[of_risk], f"fell_back/{name}": fell_back[of_risk].float()})
                self._count(**{f"kept_whole/{name}": fell_back[of_risk]})
        return torch.where(rows[:, None], mask, ones)

    def _draws(self, inputs: dict[str, Any]) -> list[torch.Generator]:
        return row_generators(self.args.seed, inputs["input_ids"], inputs["attention_mask"])
