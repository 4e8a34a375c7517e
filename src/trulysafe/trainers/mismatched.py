"""Pairs whose responses belong to another prompt: what KTO estimates its reference point from.

KTO's paper and TRL shift the responses within each micro-batch by one, so TRL trains in the order of the data. Here a
pair's partner is the next pair of the *data set* with another prompt, whatever the order of the data, the size of the
micro-batch and the number of processes, so its log-probability under the reference is computed once, before training.
The mean is over the mismatched pairs of the micro-batch, as in TRL, but over other responses than its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from datasets import Dataset, concatenate_datasets

from trulysafe.common.errors import UserError

IDS, REFERENCE_SUM = "mismatched_{}_ids", "mismatched_{}_ref_logp"
"""Names of columns; the place is for the side."""
MISMATCHED_COLUMNS = tuple(name.format(side) for name in (IDS, REFERENCE_SUM) for side in ("chosen", "rejected"))


def with_partners(dataset: Dataset) -> Dataset:
    """Add the responses of each pair's partner.

    A partner's response is cut where, with the prompt, it would be longer than the longest pair.

    Raises:
        UserError: all pairs have one prompt.
    """
    prompts, sides = dataset["prompt_ids"][:], {side: dataset[f"{side}_ids"][:] for side in ("chosen", "rejected")}
    partners = _partners([tuple(prompt) for prompt in prompts])
    longest = max(
        len(prompt) + len(ids) for column in sides.values() for prompt, ids in zip(prompts, column, strict=True)
    )
    rooms = [longest - len(prompt) for prompt in prompts]
    columns = {
        IDS.format(side): [list(column[other][:room]) for room, other in zip(rooms, partners, strict=True)]
        for side, column in sides.items()
    }
    return concatenate_datasets([dataset, Dataset.from_dict(columns)], axis=1)


def mismatched_pairs(dataset: Dataset) -> Dataset:
    """Rows of :func:`with_partners` as pairs of their own: the prompt with the responses of the partner."""
    columns = {IDS.format(side): f"{side}_ids" for side in ("chosen", "rejected")}
    return dataset.select_columns(["prompt_ids", *columns]).rename_columns(columns)


def with_reference_sums(dataset: Dataset, mismatched: Dataset) -> Dataset:
    """Add the summed log-probabilities of each pair's partner under the reference, nats.

    ``mismatched`` are its :func:`mismatched_pairs`, with TRL's columns ``ref_chosen_logps`` and ``ref_rejected_logps``.
    """
    columns = {f"ref_{side}_logps": REFERENCE_SUM.format(side) for side in ("chosen", "rejected")}
    return concatenate_datasets([dataset, mismatched.select_columns(list(columns)).rename_columns(columns)], axis=1)


def _partners(prompts: Sequence[tuple[int, ...]]) -> list[int]:
    """For each row the next one, from the last on to the first, whose prompt is another."""
    if len(set(prompts)) < 2:
        raise UserError(
            "loss: 'kto' needs pairs of at least two prompts, to hold responses against prompts that are not theirs. "
            "Add pairs, or choose another loss."
        )
    found, count = [0] * len(prompts), len(prompts)
    for row in range(2 * count - 1, -1, -1):  # twice round, so that the last rows know the first ones
        following = (row + 1) % count
        same = prompts[following] == prompts[row % count]
        found[row % count] = found[following] if same else following
    return found
