"""Data sets in TRL's preference format, as the methods take them: every response finished, none empty, cut or equal to its rival."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset

from trulysafe.common.errors import UserError
from trulysafe.methods.method import Method
from trulysafe.models.load import context_of
from trulysafe.models.tokens import up_to_end_of_turn
from trulysafe.trainers.required import has_column

SIDES = ("chosen", "rejected")


def check_form(dataset: Any) -> None:
    """Refuse what TRL cannot prepare, before it tries.

    Args:
        dataset: tokenised or not; of a streamed one neither columns nor length may be known. None is accepted.

    Raises:
        UserError: a column is missing, or there is no row.
    """
    columns = getattr(dataset, "column_names", None) or SIDES
    if not has_column(dataset, "prompt_ids") and (absent := [side for side in SIDES if side not in columns]):
        raise UserError(
            f"the data set has no column {' and no column '.join(absent)}; its columns are {', '.join(columns)}. Accepted: TRL's "
            "preference format, with chosen and rejected, and prompt where they do not hold it."
        )
    if isinstance(dataset, Dataset) and not len(dataset):
        raise UserError("the data set has no rows, so there is nothing to train on.")


def finished(dataset: Any, tokenizer: Any, method: Method) -> Any:
    """End every response with its end-of-turn token, where a chat template writes more.

    Args:
        dataset: as TRL tokenised it: ``prompt``, ``chosen`` and ``rejected``, and their ``prompt_ids``, ``chosen_ids``, ``rejected_ids``.
        tokenizer: of the model.
        method: to train by; one that needs no endpoint takes responses without end of turn as they are.

    Raises:
        UserError: a response is empty, both are equal, or one has no end of turn and needs one; names the row. Or none is left, as
            every prompt alone fills ``max_length``.
    """
    if isinstance(dataset, Dataset) and not len(dataset):
        raise UserError("every prompt alone is as long as max_length, so nothing is left to train on. Raise it.")
    return dataset.map(
        _finished, with_indices=True, fn_kwargs={"tokenizer": tokenizer, "strict": method.needs_endpoint}
    )


def check_lengths(method: Method, dataset: Any, args: Any, model: Any) -> None:
    """Refuse pairs that the model cannot read, and cut responses where the method needs their end: a cut response has no endpoint.

    Args:
        method: to train by.
        dataset: tokenised, columns ``prompt_ids``, ``chosen_ids``, ``rejected_ids``; a streamed one is not looked at.
        args: TRL's; its ``max_length`` and ``truncation_mode`` say what the collator keeps.
        model: to train.

    Raises:
        UserError: says how many pairs are too long, and how long the longest is.
    """
    if not (isinstance(dataset, Dataset) and has_column(dataset, "prompt_ids")):
        return
    table = dataset.with_format("arrow")[:]
    prompt, *sides = (pc.list_value_length(table[f"{name}_ids"]).to_numpy() for name in ("prompt", *SIDES))
    lengths = prompt + np.maximum(*sides)
    limit = np.inf if args.max_length is None else args.max_length
    cut = int((lengths > limit).sum())
    if cut and args.truncation_mode == "keep_start" and method.needs_endpoint:
        raise UserError(
            f"{cut} pairs are longer than max_length, {limit} tokens (the longest has {max(lengths)}): cut responses have no endpoint for "
            "the reward to read or the mask to keep. Drop those pairs, or set max_length to None or higher."
        )
    context = context_of(model.config)
    if too_long := int((np.minimum(lengths, limit) > context).sum()):
        raise UserError(
            f"{too_long} pairs are longer than the model's context of {context} tokens (the longest has {max(lengths)}). Drop those pairs"
            + (", or set max_length to the context or less." if args.truncation_mode == "keep_start" else ".")
        )


def _finished(row: Mapping[str, Any], index: int, tokenizer: Any, strict: bool) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = {}
    for side in SIDES:
        if _says_nothing(row[side], tokenizer.eos_token):
            raise UserError(f"row {index}: the {side} response is empty. Drop such rows, or give the response a text.")
        ids[f"{side}_ids"] = list(row[f"{side}_ids"])
        if strict or tokenizer.eos_token_id in ids[f"{side}_ids"]:
            ids[f"{side}_ids"] = up_to_end_of_turn(tokenizer, ids[f"{side}_ids"])
    if ids["chosen_ids"] == ids["rejected_ids"]:
        raise UserError(f"row {index}: both responses are equal, so neither is preferred. Drop such rows.")
    return ids


def _says_nothing(response: str | list[dict[str, Any]], end: str) -> bool:
    """Whether a response, a text or messages, holds neither text nor a call."""
    if isinstance(response, str):
        return not response.removesuffix(end).strip()
    said = (message.get("content") or message.get("tool_calls") for message in response)
    return not any(part.strip() if isinstance(part, str) else part for part in said)
