"""What a fitted reward is on disk, and which pairs it was fitted on: for the stages that read one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from safetensors.torch import load_file
from torch import Tensor

from trulysafe.common.errors import UserError
from trulysafe.common.ids import unit_interval

ENDPOINT, TOKENS, SCALES, VALIDATION = "endpoint", "tokens", "token_scales.json", "validation.safetensors"
_SMALLEST = 8


def validation_states(folder: Path | str) -> tuple[Tensor, Tensor]:
    """Safe and unsafe states, each [N, L, D], for refitting an online reward's calibration."""
    stored = load_file(Path(folder) / VALIDATION)
    return stored["safe"], stored["unsafe"]


def held_out_rows(index: pd.DataFrame, share: float, where: str = "rewards.<name>") -> tuple[list[int], list[int]]:
    """Rows to fit on and rows to test on; the pairs of one prompt (column ``prompt_id``) are on one side.

    Raises:
        UserError: too few pairs on either side; ``where`` is the configuration key it names.
    """
    test = index["prompt_id"].map(lambda identifier: unit_interval(identifier, "reward test") < share).to_numpy()
    fit_rows, test_rows = (
        [row for row, held in enumerate(test) if not held],
        [row for row, held in enumerate(test) if held],
    )
    if len(fit_rows) < _SMALLEST or len(test_rows) < _SMALLEST:
        raise UserError(
            f"{where}: {len(index)} annotated pairs leave {len(fit_rows)} to fit and {len(test_rows)} to test; at "
            f"least {_SMALLEST} of each are needed. Add pairs, or change test_share."
        )
    return fit_rows, test_rows
