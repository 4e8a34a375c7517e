"""The one preference trainer: TRL's DPO trainer with its loss opened up for masks and confidences.

TRL keeps forward, reference, loss and metrics in one private method. It is overridden here once: forward (states are gathered by
hooks only when a method asks for them) -> token log-probabilities -> mask -> sums -> margin -> pair loss -> metrics. Everything
else (data, optimiser, mixed precision, DDP, DeepSpeed, PEFT, checkpoints) is TRL's. ``dpo``, ``cdpo``, ``confidence_dpo``,
``ama_dpo`` and any combination differ in the :class:`~trulysafe.methods.method.Method` alone.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import DPOTrainer

from trulysafe.common.errors import UserError
from trulysafe.methods.losses import LIKELIHOOD_LOSS, kto_reference_point, preference_loss, sft_loss
from trulysafe.methods.method import AMA_DPO, CONFIDENCE_DPO, DPO, ONE_PROCESS, SHIFTED_LOSSES, Method
from trulysafe.models.layer_states import LayerStates
from trulysafe.models.tokens import end_of_turn_id
from trulysafe.reward.model import HybridReward
from trulysafe.trainers.batches import WEIGHT, ShareOfBatches, shared_loader
from trulysafe.trainers.checkpoints import Progress, mark_complete
from trulysafe.trainers.collator import EXTRA_COLUMNS, PairCollator
from trulysafe.trainers.compact_head import token_log_probs
from trulysafe.trainers.meter import Meter, MeterSteps
from trulysafe.trainers.mismatched import mismatched_log_ratios, with_mismatched
from trulysafe.trainers.required import check_fits, check_required, has_column
from trulysafe.trainers.step_confidence import ReadsConfidence
from trulysafe.trainers.step_mask import MasksTokens
from trulysafe.trainers.step_reference import ReadsReference
from trulysafe.trainers.trl_data import check_form, check_lengths, finished

_MODEL_KEYS = ("input_ids", "attention_mask")


class PreferenceTrainer(ReadsConfidence, MasksTokens, ReadsReference, DPOTrainer):
    """DPO with an optional label confidence (paper A) and an optional token mask (paper B).

    Takes what :class:`trl.DPOTrainer` takes (``model``, ``args``, ``train_dataset`` in TRL's preference format, ...). Responses end with
    the end-of-turn token: what a chat template writes after it (a newline, say) is left out, unlike in TRL. And:

    Args:
        method: confidence, mask and scope; plain DPO by default.
        reward_model: fitted hybrid reward, for methods that read one. With ``confidence.online`` it trains along.
        validation_states: safe and unsafe states, each [N, L, D], to refit the online reward's calibration on.

    The dataset may carry, beside TRL's columns, ``in_scope`` (bool: the pair is about risk; true if absent), ``risk`` (its place in
    :data:`trulysafe.common.schema.RISKS`) and ``flipped`` (bool: the label was flipped on purpose), both for the log, ``chosen_reward`` and
    ``rejected_reward`` (calibrated, for ``confidence.states: reference``), and per response token ``chosen_ref_token_logps``,
    ``chosen_token_rewards`` and their ``rejected_`` twins. Without token rewards the mask reads the reward model as it was
    given, calibrated, at the reference model's states of every token; probes that were fitted on tokens (METHODS) need the columns.

    Raises:
        UserError: the method reads a reward and none is given, or one of another shape; a column it needs is missing; an argument of TRL
            would have no effect; or pairs cannot be trained on (empty or equal responses, longer than the context, or cut where the
            method reads the endpoint or masks).
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
        args, data = options.get("args"), options.get("train_dataset")
        for dataset in (data, *_datasets(options.get("eval_dataset"))):
            check_form(dataset)
            check_required(method, dataset, reward_model, args)
        if args is not None and (has_column(data, "chosen_ref_token_logps") or method.loss in SHIFTED_LOSSES):
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
        for dataset in (self.train_dataset, *_datasets(self.eval_dataset)):
            check_lengths(method, dataset, self.args, self.model)
        if reward_model is not None:
            check_fits(reward_model, self.model)
        self.reward = self._place_reward(reward_model, validation_states)
        self._token_reward = self._frozen(reward_model) if method.mask.rule != "none" else None
        self._recorded = {}
        self._progress = Progress(self)
        self.add_callback(self._progress)
        self.meter = Meter()
        self.add_callback(MeterSteps(self.meter))

    # The one override: TRL's private loss method (contract pinned by tests/unit/test_trl_contract.py).
    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False) -> Any:
        tokens = {key: inputs[key] for key in _MODEL_KEYS}
        if self._training:
            self.meter.tokens["step"] += int(tokens["attention_mask"].sum())
        # place t holds the token whose log-probability place t of the logits gives
        response = inputs["completion_mask"][:, 1:]
        in_scope = inputs.get("in_scope", torch.ones(len(response) // 2, dtype=torch.bool, device=response.device))
        in_scope = in_scope if self.method.reward_scope == "safety" else torch.ones_like(in_scope)
        weight = inputs.get(WEIGHT, torch.ones(len(in_scope), device=response.device))
        real = weight > 0  # a row that only fills up a process's share counts nowhere
        point = self._reference_point(model, inputs, real)

        states = (
            LayerStates(model, positions=_last_place(inputs["completion_mask"]))
            if self.method.reads_policy_states
            else None
        )
        with states or nullcontext():
            logps = token_log_probs(model, **tokens, completion=inputs["completion_mask"])
        self._refuse_non_finite(sum(logps.sum(dim=1).chunk(2)), "log-probability", inputs)
        ref_logps, token_rewards = self._reference(tokens, inputs)

        mask = self._message_mask(token_rewards, response, in_scope & real, inputs)
        policy_chosen, policy_rejected = (logps * mask).sum(dim=1).chunk(2)
        ref_chosen, ref_rejected = (
            (ref_logps * mask).sum(dim=1).chunk(2) if ref_logps.dim() == 2 else ref_logps.chunk(2)
        )
        gamma = self._confidence(states, inputs, in_scope & real)
        sums = (policy_chosen, policy_rejected), (ref_chosen, ref_rejected)
        losses = self._losses(*sums, mask.sum(dim=1), gamma, point, real)
        loss = (losses * weight).mean()
        self._refuse_non_finite(losses, "loss", inputs)

        implicit = self.beta * torch.stack([policy_chosen - ref_chosen, policy_rejected - ref_rejected])[:, real]
        self._record(
            **{
                "rewards/chosen": implicit[0],
                "rewards/rejected": implicit[1],
                "rewards/margins": implicit[0] - implicit[1],
                "rewards/accuracies": implicit[0] > implicit[1],
                "logps/chosen": policy_chosen[real],
                "logps/rejected": policy_rejected[real],
            }
        )
        self._pass_on_recorded()
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

    def _refuse_non_finite(self, values: Any, what: str, inputs: dict[str, Any]) -> None:
        """Stop where the values of a micro-batch, [batch], are not all finite, and name the pairs."""
        broken = self._gather(~torch.isfinite(values))  # every process stops, or the others would wait for ever
        if not bool(broken.any()):
            return
        rows = broken.nonzero().flatten().tolist()
        pairs = self._gather(inputs["pair_index"])[rows].tolist() if "pair_index" in inputs else rows
        data: Any = self.train_dataset
        named = ", ".join(data[row]["pair_id"] for row in pairs) if has_column(data, "pair_id") else None
        raise UserError(
            f"step {self.state.global_step}: the {what} is not finite for the pairs {named or f'{pairs} (rows of the training set)'}. "
            "Lower the learning rate, or train in bfloat16 or float32 instead of float16; checkpoints before this step are kept."
        )

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

    def _prepare_dataset(self, dataset: Any, processing_class: Any, *args: Any, **kwargs: Any) -> Any:
        if has_column(dataset, "prompt_ids"):
            return dataset
        end_of_turn_id(self._tokenizer)  # refuses a tokenizer that has none
        prepared = super()._prepare_dataset(dataset, processing_class, *args, **kwargs)
        return finished(prepared, self._tokenizer, self.method)

    def _precompute_ref_logps(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        if self.method.loss in SHIFTED_LOSSES:
            dataset = with_mismatched(self, dataset)
        if has_column(dataset, "chosen_ref_token_logps"):
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


def _datasets(given: Any) -> list[Any]:
    """Evaluation sets as TRL takes them: none, one, or several by name."""
    return [] if given is None else list(given.values()) if isinstance(given, dict) else [given]


def _last_place(completion_mask: Tensor) -> Tensor:
    """Place of the last response token of each row, [rows]: where the endpoint's states are."""
    places = torch.arange(completion_mask.shape[1], device=completion_mask.device)
    return (completion_mask * places).argmax(dim=1)
