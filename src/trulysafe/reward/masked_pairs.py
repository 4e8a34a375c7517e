"""Preference pairs with what a mask keeps of each response, to look at and to score."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from trulysafe.methods.masks import training_mask
from trulysafe.methods.parts import Mask
from trulysafe.reward.token_scale import TokenScale

SIDES = ("chosen", "rejected")


def joined(pairs: pd.DataFrame, reference: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Pairs with their token ids (rule ``reference``) and the values after each token (rules ``read_rewards`` and
    ``read_token_rewards``), a row each."""
    return pairs.merge(reference, on="pair_id").merge(values, on="pair_id", suffixes=("", "_read"))


def masked(row: Mapping[str, Any], side: str, scale: TokenScale, mask: Mask) -> tuple[list[int], Tensor, Tensor]:
    """Token ids of a response of a row of :func:`joined`, token rewards and what the mask keeps, 0/1; both float32, [1,
    tokens]. The mask is the rule's, without control."""
    rewards = torch.tensor([scale.apply(row[f"{side}_token_values"])])
    kept, _ = training_mask(rewards, torch.ones_like(rewards), torch.tensor([side == "chosen"]), mask)
    return [int(token) for token in row[f"{side}_ids"]], rewards, kept
