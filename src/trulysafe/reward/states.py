"""Pairs of states as the reward stage takes them: checked, grouped, divided; and what the folder of a reward holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from sklearn.model_selection import GroupShuffleSplit
from torch import Tensor

from trulysafe.common.errors import UserError
from trulysafe.common.ids import stable_seed, unit_interval

ENDPOINT, TOKENS, SCALES, VALIDATION = "endpoint", "tokens", "token_scales.json", "validation.safetensors"
HELD_OUT = "held_out.csv"
"""Pairs that no part of a reward was fitted on: other datasets may join their groups later."""
MINIMUM_PAIRS, MINIMUM_OF_A_SPLIT = 4, 8


def paired_states(safe_states: Any, unsafe_states: Any, minimum: int = MINIMUM_PAIRS) -> tuple[Tensor, Tensor]:
    """Both sides of the pairs, arrays or tensors [N, L, D], row i with row i, as float32 tensors to train on
    (UserError: no array of numbers, shapes differ, fewer than ``minimum`` pairs, or a value that is not finite)."""
    safe, unsafe = (_tensor(states, side) for states, side in ((safe_states, "safe"), (unsafe_states, "unsafe")))
    for states, side in ((safe, "safe"), (unsafe, "unsafe")):
        if len(states) == 0:
            do = "A reward needs pairs of safe and unsafe responses."
            raise UserError(f"reward: there are no {side} states, one class only. {do}")
    if safe.shape != unsafe.shape:
        found = f"safe states {tuple(safe.shape)} and unsafe states {tuple(unsafe.shape)}"
        raise UserError(f"reward: {found} must be paired: same responses, layers and width, row i with row i.")
    if len(safe) < minimum:
        raise UserError(f"reward: {len(safe)} pairs are too few, at least {minimum} are needed. Annotate more pairs.")
    return safe, unsafe


def group_codes(groups: Sequence[Any] | None, pairs: int) -> np.ndarray:
    """Integer code of each pair's group (prompt, duplicates); every pair is its own group if none are given."""
    if groups is None:
        return np.arange(pairs)
    if len(groups) != pairs:
        raise UserError(f"reward: {len(groups)} groups for {pairs} pairs; give one group per pair.")
    return np.unique([str(group) for group in groups], return_inverse=True)[1]


def split_rows(codes: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and for validation; a group is on one side only."""
    rows = np.arange(len(codes))
    if share == 0:
        return rows, rows[:0]
    groups = len(np.unique(codes))
    if groups < 2:
        do = "Give finer groups or validation_share: 0."
        raise UserError(f"reward: all pairs are of one group, so none can be held out. {do}")
    if np.ceil(share * groups) >= groups:
        why = f"{share} of {len(codes)} pairs in {groups} groups leaves none to train on"
        raise UserError(f"reward option validation_share: {why}. Lower it, or add pairs.")
    splitter = GroupShuffleSplit(1, test_size=share, random_state=stable_seed("reward split", seed))
    return next(splitter.split(rows, groups=codes))


def validation_states(folder: Path | str) -> tuple[Tensor, Tensor]:
    """Safe and unsafe states, each [N, L, D], for refitting an online reward's calibration."""
    stored = load_file(Path(folder) / VALIDATION)
    return stored["safe"], stored["unsafe"]


def held_out_pairs(folder: Path | str) -> list[str]:
    """Ids of the pairs that the fit of a reward held out."""
    return pd.read_csv(Path(folder) / HELD_OUT, dtype=str)["pair_id"].tolist()


def held_out_rows(index: pd.DataFrame, share: float, where: str = "rewards.<name>") -> tuple[list[int], list[int]]:
    """Rows to fit on and rows to test on; near-duplicate prompts (one ``group_id``) are on one side (UserError:
    too few pairs on either side; ``where`` is the configuration key it names)."""
    test = index["group_id"].map(lambda group: unit_interval(group, "reward test") < share).to_numpy(dtype=bool)
    fit_rows, test_rows = (np.flatnonzero(side).tolist() for side in (~test, test))
    if len(fit_rows) < MINIMUM_OF_A_SPLIT or len(test_rows) < MINIMUM_OF_A_SPLIT:
        left = f"{len(index)} annotated pairs leave {len(fit_rows)} to fit and {len(test_rows)} to test"
        do = "Add pairs, or change test_share."
        raise UserError(f"{where}: {left}; at least {MINIMUM_OF_A_SPLIT} of each are needed. {do}")
    return fit_rows, test_rows


def _tensor(states: Any, side: str) -> Tensor:
    try:
        tensor = torch.as_tensor(np.asarray(states) if not isinstance(states, Tensor) else states).detach().float()
    except (TypeError, ValueError) as error:
        found = f"{side} states of type {type(states).__name__} are no array of numbers"
        raise UserError(f"reward: {found}; give an array or tensor [pairs, layers, width].") from error
    if tensor.dim() != 3:
        raise UserError(f"reward: {side} states of shape {tuple(tensor.shape)}; expected [pairs, layers, width].")
    finite = torch.isfinite(tensor)
    if not finite.all():
        row, layer = (int(index) for index in (~finite).nonzero()[0][:2])
        do = "Extract them again in float32 or bfloat16 (float16 overflows in some models)."
        raise UserError(f"reward: {side} states, row {row}, layer {layer + 1} hold NaN or infinite values. {do}")
    return tensor
