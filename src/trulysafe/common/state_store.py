"""Hidden states on disk: arrays as safetensors beside an index table, one row per first axis entry."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trulysafe.common.errors import UserError

ARRAYS, INDEX = "states.safetensors", "index.parquet"


def save_states(folder: Path | str, arrays: Mapping[str, Tensor], index: pd.DataFrame) -> None:
    """Write arrays whose first axis follows the rows of ``index`` (UserError: an array holds NaN or infinite values, or
    its length differs from the index)."""
    for name, array in arrays.items():
        if len(array) != len(index):
            raise UserError(f"{folder}: array {name!r} has {len(array)} rows, its index {len(index)}.")
        if not torch.isfinite(array).all():
            row = int((~torch.isfinite(array.flatten(1))).any(dim=1).int().argmax())
            do = "Load the model in float32 or bfloat16, not in float16."
            raise UserError(f"{folder}: array {name!r}, row {row} holds NaN or infinite states. {do}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: array.contiguous() for name, array in arrays.items()}, folder / ARRAYS)
    index.reset_index(drop=True).to_parquet(folder / INDEX, index=False)


def load_states(folder: Path | str) -> tuple[dict[str, Tensor], pd.DataFrame]:
    """Read what :func:`save_states` wrote (UserError: the folder lacks its files or they are damaged)."""
    folder = Path(folder)
    try:
        return load_file(folder / ARRAYS), pd.read_parquet(folder / INDEX)
    except Exception as error:
        do = "Delete it and rerun the rule that makes it."
        raise UserError(f"{folder}: not a readable folder of states ({error}). {do}") from error
