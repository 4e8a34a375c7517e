"""How well a mask agrees with the oracle of the demo world, which knows the side of every word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from trulysafe.common.schema import meta_of
from trulysafe.data.demo.oracle import sides
from trulysafe.methods.masks import training_mask
from trulysafe.methods.method import Mask
from trulysafe.reward.evaluate import ranked
from trulysafe.reward.token_scale import TokenScale

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

COLUMNS = "side risk responses tokens speaking kept precision recall dropped auc".split()
_SIGN = {"chosen": 1, "rejected": -1}


def mask_scores(
    pairs: pd.DataFrame,
    reference: pd.DataFrame,
    values: pd.DataFrame,
    scale: TokenScale,
    mask: Mask,
    tokenizer: PreTrainedTokenizerBase,
) -> pd.DataFrame:
    """Hold the mask of both responses of the demo world's pairs against what it should keep: the tokens of sentences
    that speak for the label, safe ones of chosen and unsafe ones of rejected responses.

    Tables, scale and mask as of :func:`trulysafe.reward.kept_tokens.kept_tokens`. Only tokens that the oracle gives a
    side count.

    Returns:
        One row per side and risk class (``all`` first), columns :data:`COLUMNS`: numbers of ``responses`` and
        ``tokens``; shares of the tokens that are ``speaking`` for the label and that are ``kept``; ``precision``, the
        share of speaking ones among those kept (of a mask that knows nothing it is ``speaking``); ``recall``, the share
        of the speaking ones that are kept; the share of the others that are ``dropped``; and ``auc`` of the token
        rewards. Shares of nothing are NaN.
    """
    joined = pairs.merge(reference, on="pair_id").merge(values, on="pair_id", suffixes=("", "_read"))
    responses = (_response(row, side, scale, mask, tokenizer) for row in joined.to_dict("records") for side in _SIGN)
    tokens = pd.concat(responses, ignore_index=True)
    every = pd.concat([tokens.assign(risk="all"), tokens], ignore_index=True)
    rows = [(*place, *_scores(group)) for place, group in every.groupby(["side", "risk"])]
    order = {"all": ""}
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["side", "risk"], key=lambda names: names.replace(order), ignore_index=True)


def _response(row: dict, side: str, scale: TokenScale, mask: Mask, tokenizer: PreTrainedTokenizerBase) -> pd.DataFrame:
    """The tokens of a response that have a side: columns speaking, kept, reward (signed: high speaks for the label)."""
    ids, sign = [int(token) for token in row[f"{side}_ids"]], _SIGN[side]
    rewards = torch.tensor([scale.apply(row[f"{side}_token_values"])])
    kept, _ = training_mask(rewards, torch.ones_like(rewards), torch.tensor([side == "chosen"]), mask)
    found = sign * np.array(list(_sides_of_tokens(row, side, ids[:-1], tokenizer)), dtype=int)
    table = pd.DataFrame({"speaking": found > 0, "kept": kept[0, :-1].numpy() > 0, "reward": sign * rewards[0, :-1]})
    return table[found != 0].assign(response=f"{row['pair_id']} {side}", side=side, risk=row["risk"])


def _sides_of_tokens(row: dict, side: str, ids: list[int], tokenizer: PreTrainedTokenizerBase) -> Iterator[int]:
    """Side of the last character of each token; the end of turn is not among ``ids``."""
    of_characters = sides(meta_of(row), row[side])
    for place in range(1, len(ids) + 1):
        end = len(tokenizer.decode(ids[:place]))
        yield of_characters[end - 1] if 0 < end <= len(of_characters) else 0


def _scores(tokens: pd.DataFrame) -> tuple[float, ...]:
    speaking, kept = tokens["speaking"], tokens["kept"]
    best, worst = tokens.loc[speaking, "reward"].to_numpy(), tokens.loc[~speaking, "reward"].to_numpy()
    return (
        tokens["response"].nunique(),
        len(tokens),
        speaking.mean(),
        kept.mean(),
        speaking[kept].mean(),
        kept[speaking].mean(),
        1 - kept[~speaking].mean(),
        ranked(best[:, None], worst).mean() if len(best) and len(worst) else float("nan"),
    )
