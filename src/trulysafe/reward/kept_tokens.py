"""Which tokens a mask keeps in a few harmless pairs, token by token, to look at."""

from typing import Any

import numpy as np
import pandas as pd
import torch

from trulysafe.common.errors import UserError
from trulysafe.common.ids import unit_interval
from trulysafe.methods.masks import hysteresis_state
from trulysafe.methods.parts import Mask
from trulysafe.reward.masked_pairs import SIDES, masked
from trulysafe.reward.token_scale import TokenScale

SHOWN = ("look_alike", "general")
"""Risk classes of the examples; harmful pairs are never shown."""
COLUMNS = "example pair_id risk prompt side place token reward state kept band_low band_high".split()


def kept_tokens(pairs: pd.DataFrame, scale: TokenScale, mask: Mask, tokenizer: Any, examples: int = 4) -> pd.DataFrame:
    """Token rewards, hysteresis states and the mask of both responses of some harmless pairs.

    The mask is the rule's, without control; in training with ``reward_scope: safety`` harmless pairs are kept whole.
    Of the ``pairs`` (:func:`trulysafe.reward.masked_pairs.joined`) the ``examples`` of lowest hashes are shown, the
    classes :data:`SHOWN` in turn. One row per token, columns :data:`COLUMNS`: ``state`` is that of the hysteresis rule
    (+1 or -1) whatever the mask's rule, ``band_low`` and ``band_high`` are the edges of its dead band. UserError: there
    is no harmless pair, or the rule's baseline is that of a micro-batch.
    """
    if mask.rule == "batch_mean":
        why = "the rule 'batch_mean' has another baseline in each micro-batch, so no mask of single responses"
        raise UserError(f"report.kept_tokens.method: {why}. Name a method with the rule hysteresis or threshold.")
    harmless = pairs[pairs["risk"].isin(SHOWN)]
    if harmless.empty:
        found = f"the table holds no pair of the classes {', '.join(SHOWN)}"
        raise UserError(f"report.kept_tokens.pairs: {found}. Name pairs that do, or remove the key.")
    order = harmless["pair_id"].map(lambda pair: unit_interval(pair, "kept tokens"))
    turn = order.groupby(harmless["risk"]).rank()
    chosen = harmless.assign(turn=turn).sort_values(["turn", "risk"], ascending=[True, False]).head(examples)
    parts = [
        _response(row, number, side, scale, mask, tokenizer)
        for number, row in enumerate(chosen.to_dict("records"), start=1)
        for side in SIDES
    ]
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _response(row: dict, number: int, side: str, scale: TokenScale, mask: Mask, tokenizer: Any) -> pd.DataFrame:
    ids, rewards, kept = masked(row, side, scale, mask)
    states = hysteresis_state(rewards, torch.ones_like(rewards), mask.baseline, mask.width)
    columns = {
        "example": number,
        "side": side,
        **{key: row[key] for key in ("pair_id", "risk", "prompt")},
        "place": np.arange(1, len(ids) + 1),
        "token": [tokenizer.decode([token]) for token in ids],
        "reward": np.round(rewards[0].numpy().astype(float), 6),
        "state": states[0].numpy(),
        "kept": kept[0].numpy().astype(bool),
        "band_low": mask.baseline - mask.width,
        "band_high": mask.baseline + mask.width,
    }
    return pd.DataFrame(columns)
