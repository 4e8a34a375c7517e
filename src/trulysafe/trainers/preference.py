"""The one preference trainer: TRL's DPO trainer with its loss opened up for masks and confidences.

TRL keeps forward, reference, loss and metrics in one private method. It is overridden here once: forward (states are gathered by
hooks only when a method asks for them) -> token log-probabilities -> mask -> sums -> margin -> pair loss -> metrics. Everything
else (data, optimiser, mixed precision, DDP, DeepSpeed, PEFT, checkpoints) is TRL's. ``dpo``, ``cdpo``, ``confidence_dpo``,
``ama_dpo`` and any combination differ in the :class:`~trulysafe.methods.Method` alone.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import DPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from trulysafe.confidence import label_confidence
from trulysafe.controls import random_control, row_generators, shuffled_control, shuffled_rewards
from trulysafe.errors import UserError
from trulysafe.ids import stable_seed
from trulysafe.layer_states import LayerStates
from trulysafe.losses import LIKELIHOOD_LOSS, SHIFTED_LOSSES, kto_reference_point, preference_loss, sft_loss
from trulysafe.masks import keep_eos, kept_share, message_mask, with_minimum_share
from trulysafe.methods import AMA_DPO, CONFIDENCE_DPO, DPO, ONE_PROCESS, Method
from trulysafe.reward.model import HybridReward
from trulysafe.schema import RISKS
from trulysafe.trainers.batches import WEIGHT, ShareOfBatches, shared_loader
from trulysafe.trainers.checkpoints import Progress, mark_complete
from trulysafe.trainers.collator import EXTRA_COLUMNS, PairCollator
from trulysafe.trainers.compact_head import response_places_only
from trulysafe.trainers.meter import Meter, MeterSteps
from trulysafe.trainers.mismatched import mismatched_log_ratios, with_mismatched
from trulysafe.trainers.online_reward import OnlineReward

_MODEL_KEYS = ("input_ids", "attention_mask")


class PreferenceTrainer(DPOTrainer):
    """DPO with an optional label confidence (paper A) and an optional token mask (paper B).

    Takes what :class:`trl.DPOTrainer` takes (``model``, ``args``, ``train_dataset`` in TRL's preference format, ...), and:

    Args:
        method: confidence, mask and scope; plain DPO by default.
        reward_model: fitted hybrid reward, for methods that read one. With ``confidence.online`` it trains along.
        validation_states: safe and unsafe states, each [N, L, D], to refit the online reward's calibration on.

    The dataset may carry, beside TRL's columns, ``in_scope`` (bool: the pair is about risk; true if absent), ``risk`` (its place in
    :data:`trulysafe.schema.RISKS`) and ``flipped`` (bool: the label was flipped on purpose), both for the log, ``chosen_reward`` and
    ``rejected_reward`` (calibrated, for ``confidence.states: reference``), and per response token ``chosen_ref_token_logps``,
    ``chosen_token_rewards`` and their ``rejected_`` twins. Without token rewards the mask reads the reward model at
    the reference model's states of every token.

    Raises:
        UserError: the method reads a reward and none is given, or a column it needs is missing.
    """

    def __init__(
        self,
        model: Any,
        *,
        method: Method = DPO,
        reward_model: HybridReward | None = None,
        validation_states: tuple[Tensor, Tensor] | None = None,
        **options: Any,
    ) -> None:
        self.method = method
        self._ready_dataset = _has(options.get("train_dataset"), "chosen_ref_token_logps")
        self._check_inputs(options.get("train_dataset"), reward_model)
        args = options.get("args")
        if args is None and method.loss in SHIFTED_LOSSES:
            raise UserError(
                f"loss: {method.loss!r} computes log-probabilities under the reference before training. Give args (a DPOConfig)."
            )
        if args is not None and (self._ready_dataset or method.loss in SHIFTED_LOSSES):
            args.precompute_ref_log_probs = True  # no reference model is loaded where they are in the dataset
        super().__init__(model, **options)
        if method.loss in ONE_PROCESS and self.accelerator.num_processes > 1:
            raise UserError(
                f"loss: {method.loss!r} sorts the micro-batch and needs all of it in one process, but {self.accelerator.num_processes} train. "
                "Set training.processes to 1."
            )
        if options.get("data_collator") is None:
            inherited: Any = self.data_collator
            self.data_collator = PairCollator(
                pad_token_id=inherited.pad_token_id,
                max_length=inherited.max_length,
                truncation_mode=inherited.truncation_mode,
                pad_to_multiple_of=inherited.pad_to_multiple_of,
            )
        self.reward = self._place_reward(reward_model, validation_states)
        self._progress = Progress(self)
        self.add_callback(self._progress)
        self.meter = Meter()
        self.add_callback(MeterSteps(self.meter))

    # The one override: TRL's private loss method (contract pinned by tests/unit/test_trl_contract.py).
    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False) -> Any:
        tokens = {key: inputs[key] for key in _MODEL_KEYS}
        if self._training:
            self.meter.tokens["step"] += int(tokens["attention_mask"].sum())
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
        response = inputs["completion_mask"][
            :, 1:
        ]  # place t holds the token whose log-probability place t of the logits gives
        in_scope = inputs.get("in_scope", torch.ones(len(labels) // 2, dtype=torch.bool, device=labels.device))
        in_scope = in_scope if self.method.reward_scope == "safety" else torch.ones_like(in_scope)
        weight = inputs.get(WEIGHT, torch.ones(len(in_scope), device=labels.device))
        real = weight > 0  # a row that only fills up a process's share counts nowhere
        point = self._reference_point(model, inputs, real)

        states = (
            LayerStates(model, positions=_last_place(inputs["completion_mask"]))
            if self.method.reads_policy_states
            else None
        )
        with states or nullcontext(), response_places_only():
            outputs = model(**tokens, labels=labels, fused_lm_head=True, use_cache=False)
        logps = outputs.log_probs * response
        ref_logps, token_rewards = self._reference(tokens, labels, inputs)

        mask = self._message_mask(token_rewards, response, in_scope & real, real, inputs)
        policy_chosen, policy_rejected = (logps * mask).sum(dim=1).chunk(2)
        ref_chosen, ref_rejected = (
            (ref_logps * mask).sum(dim=1).chunk(2) if ref_logps.dim() == 2 else ref_logps.chunk(2)
        )
        gamma = self._confidence(states, inputs, in_scope & real)
        sums = (policy_chosen, policy_rejected), (ref_chosen, ref_rejected)
        losses = self._losses(*sums, mask.sum(dim=1), gamma, point, real)
        loss = (losses * weight).mean()
        self._refuse_non_finite(losses, inputs)

        implicit = (
            self.beta * torch.stack([policy_chosen - ref_chosen, policy_rejected - ref_rejected]).detach()[:, real]
        )
        self._record(
            **{
                "rewards/chosen": implicit[0],
                "rewards/rejected": implicit[1],
                "rewards/margins": implicit[0] - implicit[1],
            },
            **{"rewards/accuracies": (implicit[0] > implicit[1]).float()},
            **{"logps/chosen": policy_chosen.detach()[real], "logps/rejected": policy_rejected.detach()[real]},
        )
        if return_outputs:
            with torch.no_grad():
                outputs = model(**tokens)
        return (loss, outputs) if return_outputs else loss

    def _losses(
        self,
        policy: tuple[Tensor, Tensor],
        reference: tuple[Tensor, Tensor],
        tokens: Tensor,
        gamma: Tensor,
        point: Tensor | float,
        real: Tensor,
    ) -> Tensor:
        """Loss per pair, [batch], from the sums of both sides over kept tokens, of which there are ``tokens`` per row."""
        name, (of_chosen, of_rejected) = self.method.loss, tokens.clamp(min=1).chunk(2)
        if name == LIKELIHOOD_LOSS:
            return sft_loss(policy[0], self._mean(of_chosen[real]) or 1.0)
        return preference_loss(name, policy, reference, gamma, self.beta, (of_chosen, of_rejected), point)

    def _reference_point(self, model: Any, inputs: dict[str, Any], real: Tensor) -> Tensor | float:
        """z0 of KTO over the mismatched pairs of the micro-batch, of all processes together; 0 for the other losses."""
        if self.method.loss not in SHIFTED_LOSSES:
            return 0.0
        ratios = mismatched_log_ratios(self, model, inputs)
        point = kto_reference_point(self._gather(ratios)[self._gather(real.repeat(2))])
        self._record(kl=point[None])
        return point

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

    def _message_mask(
        self, token_rewards: Tensor | None, response: Tensor, in_scope: Tensor, real: Tensor, inputs: dict[str, Any]
    ) -> Tensor:
        """Mask over the places of ``response`` ([chosen; rejected] rows); ones where the method has no mask or no say."""
        ones, options = response.float(), self.method.mask
        if options.rule == "none":
            return ones
        if token_rewards is None:
            raise UserError(
                "a token mask needs the columns chosen_token_rewards and rejected_token_rewards beside chosen_ref_token_logps and "
                "rejected_ref_token_logps. Add them, or leave out both kinds to have them computed from the reference model."
            )
        chosen = torch.arange(len(response), device=response.device) < len(response) // 2
        draws = [] if options.control in ("none", "ones") else self._draws(inputs)
        if options.control == "shuffled":
            token_rewards = shuffled_control(token_rewards, response, draws, options.baseline, options.width)
        rule, baseline = options.rule, options.baseline
        if rule == "batch_mean" and self.accelerator.num_processes > 1:  # of the whole micro-batch
            counted = response.bool() & real.repeat(2)[:, None]
            rule, baseline = "threshold", self._mean(token_rewards[counted].detach()) or 0.0
        mask = message_mask(token_rewards, response, chosen, rule, baseline, options.width)
        mask, fell_back = with_minimum_share(keep_eos(mask, response, options.eos), response, options.minimum_share)
        if options.control == "random":
            mask = random_control(mask, response, draws, options.eos)
        elif options.control == "ones":
            mask = ones
        rows = in_scope.repeat(2)
        share = kept_share(mask, response)
        self._record(**{"kept_share/chosen": share[rows & chosen], "kept_share/rejected": share[rows & ~chosen]})
        self._record(**{"kept_share/fell_back": fell_back[rows].float()})
        if "risk" in inputs:
            risks = inputs["risk"].repeat(2)
            for code, risk in enumerate(RISKS):
                of_risk, name = rows & (risks == code), risk or "not_labelled"
                self._record(**{f"kept_share/{name}": share[of_risk], f"fell_back/{name}": fell_back[of_risk].float()})
        return torch.where(rows[:, None], mask, ones)

    def _draws(self, inputs: dict[str, Any]) -> list[torch.Generator]:
        return row_generators(self.args.seed, inputs["input_ids"], inputs["attention_mask"])

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
            with torch.enable_grad():
                loss = self.reward.update(chosen_states.float(), rejected_states.float())
            fitted = self.reward.reward
            self._record(
                **{
                    "reward_model/loss": torch.tensor([loss]),
                    "reward_model/offset": fitted.offset.reshape(1),
                    "reward_model/temperature": fitted.temperature.reshape(1),
                }
            )
        return gamma

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

    def _gather(self, value: Tensor) -> Tensor:
        """Rows of all processes in rank order, which is the order of the micro-batch; detached."""
        return self.accelerator.gather(value.detach().contiguous()) if self.accelerator.num_processes > 1 else value

    def _refuse_non_finite(self, losses: Tensor, inputs: dict[str, Any]) -> None:
        broken = self._gather(
            ~torch.isfinite(losses.detach())
        )  # every process stops, or the others would wait for ever
        if not bool(broken.any()):
            return
        rows = broken.nonzero().flatten().tolist()
        pairs = self._gather(inputs["pair_index"])[rows].tolist() if "pair_index" in inputs else rows
        data: Any = self.train_dataset
        named = ", ".join(data[row]["pair_id"] for row in pairs) if _has(data, "pair_id") else None
        raise UserError(
            f"step {self.state.global_step}: the loss is not finite for the pairs {named or f'{pairs} (rows of the training set)'}. "
            "Lower the learning rate, or train in bfloat16 or float32 instead of float16; checkpoints before this step are kept."
        )

    def _record(self, **values: Tensor) -> None:
        """Add the mean over all processes to TRL's metrics; values of no rows add nothing."""
        mode = "train" if self._training else "eval"
        for name, value in values.items():
            mean = self._mean(value)
            if mean is not None:
                self._metrics[mode][name].append(mean)

    def _mean(self, value: Tensor) -> float | None:
        """Mean over the values of all processes; none if there are no values."""
        total = torch.stack([value.float().sum(), torch.tensor(float(value.numel()), device=value.device)])
        total = self.accelerator.reduce(total.to(self.accelerator.device), "sum")
        return float(total[0] / total[1]) if total[1] > 0 else None

    def _check_inputs(self, dataset: Any, reward_model: HybridReward | None) -> None:
        confidence, mask = self.method.confidence, self.method.mask
        if self.method.reads_policy_states and reward_model is None:
            raise UserError(
                "confidence.kind 'label' with states 'policy' needs reward_model: a fitted HybridReward of the same base model."
            )
        if confidence.kind == "label" and confidence.states == "reference" and not _has(dataset, "chosen_reward"):
            raise UserError(
                "confidence.states 'reference' needs the dataset columns chosen_reward and rejected_reward (calibrated rewards)."
            )
        if (
            mask.rule != "none"
            and not _has(dataset, "chosen_token_rewards")
            and (reward_model is None or mask.token_rewards != "hybrid")
        ):
            raise UserError(
                "a token mask needs the dataset columns chosen_token_rewards and rejected_token_rewards, or, for "
                "token_rewards 'hybrid', reward_model: a fitted HybridReward of the same base model."
            )

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
            calibrate_every=options.calibrate_every if validation is not None else 0,
            validation=validation,
        )

    @property
    def _training(self) -> bool:
        return bool(self.model is not None and self.model.training)

    # The same micro-batches for any number of processes.
    def get_train_dataloader(self) -> Any:
        """Return the usual loader in one process, and this process's share of the same batches in several."""
        data: Any = self.train_dataset
        if self.args.world_size == 1 or not isinstance(data, Dataset) or self.args.train_sampling_strategy != "random":
            return super().get_train_dataloader()
        seed = self.args.data_seed if self.args.data_seed is not None else self.args.seed
        size = self.args.per_device_train_batch_size * self.args.world_size
        share = ShareOfBatches(len(data), size, self.args.world_size, self.args.process_index, seed)
        rows = self._remove_unused_columns(data, description="Training")
        return shared_loader(rows, share, self.data_collator, pin_memory=self.args.dataloader_pin_memory)

    # What TRL must know about the further columns.
    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        columns: Any = [*dict.fromkeys([*(self._signature_columns or ()), *EXTRA_COLUMNS])]
        self._signature_columns = columns

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset if _has(dataset, "prompt_ids") else super()._prepare_dataset(dataset, *args, **kwargs)

    def _precompute_ref_logps(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        if self.method.loss in SHIFTED_LOSSES:
            dataset = with_mismatched(self, dataset)
        if _has(dataset, "chosen_ref_token_logps"):
            return dataset
        if self.method.mask.rule != "none":
            raise UserError(
                "precompute_ref_log_probs keeps sums over whole responses, which a token mask cannot use. "
                "Set it to False, or give the columns chosen_ref_token_logps and rejected_ref_token_logps."
            )
        return super()._precompute_ref_logps(dataset, *args, **kwargs)

    # A checkpoint holds the online reward and the sums since the last log row as well, and says when it is complete.
    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        checkpoint = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
        self._progress.save(checkpoint)
        if self.reward is not None and self.reward.train and self.accelerator.is_main_process:
            self.reward.save(checkpoint)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            mark_complete(checkpoint)
        self.accelerator.wait_for_everyone()

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        self._progress.resumed_from = Path(checkpoint)
        if self.reward is not None and self.reward.train:
            self.reward.load(checkpoint)


class ConfidenceDPOTrainer(PreferenceTrainer):
    """DPO weighted by the label confidence that a hybrid reward reads from the policy's states (paper A)."""

    def __init__(self, model: Any, *, method: Method = CONFIDENCE_DPO, **options: Any) -> None:
        super().__init__(model, method=method, **options)


class AdaptiveDPOTrainer(PreferenceTrainer):
    """DPO on the tokens that carry the preference: adaptive message-wise alignment (paper B)."""

    def __init__(self, model: Any, *, method: Method = AMA_DPO, **options: Any) -> None:
        super().__init__(model, method=method, **options)


def _last_place(completion_mask: Tensor) -> Tensor:
    """Place of the last response token of each row, [rows]: where the endpoint's states are."""
    places = torch.arange(completion_mask.shape[1], device=completion_mask.device)
    return (completion_mask * places).argmax(dim=1)


def _has(dataset: Any, column: str) -> bool:
    return dataset is not None and column in (getattr(dataset, "column_names", None) or [])
