"""Pairs whose responses belong to another prompt: what KTO estimates its reference point from.

KTO's paper and TRL shift the responses within each micro-batch by one, and TRL therefore trains on batches in the order of the data. Here a
pair's partner is the next pair of the *data set* that has another prompt: it stays the same whatever the order of the data, the size of the
micro-batch and the number of processes, so its log-probability under the reference is computed once, before training. The mean is over the
mismatched pairs of the micro-batch, as in TRL; it is over other responses than those that the loss of that micro-batch is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset, concatenate_datasets
from torch import Tensor
from torch.utils.data import DataLoader
from trl.models.utils import disable_gradient_checkpointing, prepare_deepspeed

from trulysafe.common.errors import UserError
from trulysafe.trainers.compact_head import token_log_probs

IDS, REFERENCE_SUM = "mismatched_{}_ids", "mismatched_{}_ref_logp"
"""Names of columns; the place is for the side."""
MISMATCHED_COLUMNS = tuple(name.format(side) for name in (IDS, REFERENCE_SUM) for side in ("chosen", "rejected"))


def with_partners(dataset: Dataset) -> Dataset:
    """Add the responses of each pair's partner.

    A partner's response is cut so that with the prompt it is no longer than the longest of the pairs as they are: no sequence outgrows the
    model's context.

    Args:
        dataset: columns ``prompt_ids``, ``chosen_ids``, ``rejected_ids``.

    Returns:
        The data set with the columns of :data:`IDS`.

    Raises:
        UserError: all pairs have one prompt.
    """
    prompts, sides = dataset["prompt_ids"][:], {side: dataset[f"{side}_ids"][:] for side in ("chosen", "rejected")}
    partners = _partners([tuple(prompt) for prompt in prompts])
    longest = max(
        len(prompt) + len(ids) for column in sides.values() for prompt, ids in zip(prompts, column, strict=True)
    )
    columns = {
        IDS.format(side): [
            list(column[other][: longest - len(prompt)]) for prompt, other in zip(prompts, partners, strict=True)
        ]
        for side, column in sides.items()
    }
    return concatenate_datasets([dataset, Dataset.from_dict(columns)], axis=1)


def mismatched_pairs(examples: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of :func:`with_partners` as pairs of their own: the prompt with the responses of the partner."""
    return [
        {
            "prompt_ids": example["prompt_ids"],
            **{f"{side}_ids": example[IDS.format(side)] for side in ("chosen", "rejected")},
        }
        for example in examples
    ]


def with_mismatched(trainer: Any, dataset: Dataset) -> Dataset:
    """Add each pair's partner and the partner's summed log-probabilities under the reference, nats, before training begins.

    Args:
        trainer: TRL's ``DPOTrainer``, whose model is still the reference where it has no other; every process must ask.
        dataset: as for :func:`with_partners`.

    Returns:
        The data set with :data:`MISMATCHED_COLUMNS`.
    """
    dataset = with_partners(dataset)
    model = trainer.ref_model or trainer.model
    if trainer.ref_model is None and trainer.is_deepspeed_enabled:  # as TRL does before training has set up the engine
        trainer._precompute_engine = trainer._precompute_engine or prepare_deepspeed(trainer.model, trainer.accelerator)
        model = trainer._precompute_engine
    rows: Any = mismatched_pairs(dataset)
    loader = DataLoader(rows, batch_size=trainer.args.per_device_train_batch_size, collate_fn=trainer.data_collator)
    sums: list[tuple[Tensor, ...]] = [
        trainer.accelerator.gather_for_metrics(trainer.compute_ref_log_probs(model, batch))
        for batch in trainer.accelerator.prepare(loader)
    ]
    columns = {
        REFERENCE_SUM.format(side): torch.cat([of_batch[place] for of_batch in sums]).tolist()
        for place, side in enumerate(("chosen", "rejected"))
    }
    return concatenate_datasets([dataset, Dataset.from_dict(columns)], axis=1)


def mismatched_log_ratios(trainer: Any, model: Any, inputs: Mapping[str, Any]) -> Tensor:
    """Log-ratios of policy to reference of the mismatched pairs of a micro-batch, whole responses, nats, without gradient.

    Args:
        trainer: a :class:`trulysafe.trainers.preference.PreferenceTrainer`.
        model: its policy, as the engine has wrapped it.
        inputs: a batch with mismatched pairs.

    Returns:
        Shape [2 * batch], chosen responses first.
    """
    ids, attention, completion = (
        inputs[f"mismatched_{name}"] for name in ("input_ids", "attention_mask", "completion_mask")
    )
    if trainer.model.training:
        trainer.meter.tokens["mismatched"] += int(attention.sum())
    checkpointing = trainer.args.gradient_checkpointing_kwargs
    with torch.no_grad(), disable_gradient_checkpointing(trainer.model, checkpointing):
        logps = token_log_probs(model, ids, attention, completion)
    return logps.sum(dim=1) - inputs["mismatched_ref_logps"]


def _partners(prompts: Sequence[tuple[int, ...]]) -> list[int]:
    """For each row the next one, from the last on to the first, whose prompt is another."""
    if len(set(prompts)) < 2:
        raise UserError(
            "loss: 'kto' needs pairs of at least two prompts, to hold responses against prompts that are not theirs. Add pairs, or choose "
            "another loss."
        )
    found, count = [0] * len(prompts), len(prompts)
    for row in range(2 * count - 1, -1, -1):  # twice round, so that the last rows know the first ones
        following = (row + 1) % count
        same = prompts[following] == prompts[row % count]
        found[row % count] = found[following] if same else following
    return found
