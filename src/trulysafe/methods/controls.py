"""Controls: what a mask or a confidence would do if it knew nothing about the text.

Every draw is seeded by the run's seed and the token ids it is for, so that batch, padding, number of processes and a
resumed run give the same control, and a response keeps its random mask through all epochs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trulysafe.common.errors import UserError
from trulysafe.common.ids import stable_seed
from trulysafe.methods.masks import hysteresis_state, keep_eos
from trulysafe.methods.parts import RewardShuffle

Generators = Sequence[torch.Generator]


def row_generators(seed: int, ids: Tensor, attention: Tensor) -> list[torch.Generator]:
    """One generator per row, by the run's seed and the row's ids, [rows, tokens]; ``attention`` is 0 on padding."""
    kept = [row[mask.bool()].tolist() for row, mask in zip(ids, attention, strict=True)]
    return [torch.Generator().manual_seed(stable_seed("control", seed, *row)) for row in kept]


def random_control(mask: Tensor, response_mask: Tensor, generators: Generators, eos: str = "keep") -> Tensor:
    """As many tokens of each response as ``mask`` (0/1, [rows, tokens]) keeps, but random ones. ``response_mask`` is 1
    on response tokens, ``generators`` are :func:`row_generators`. Unless the mask's option ``eos`` is ``rule``, the
    end-of-turn token keeps its fate."""
    free = response_mask.bool() if eos == "rule" else keep_eos(response_mask, response_mask, "drop").bool()
    control = mask.clone()
    for row, generator in enumerate(generators):
        places = free[row].nonzero().flatten()
        kept = mask[row, places].bool().sum()
        rank = torch.rand(len(places), generator=generator).to(mask.device).argsort().argsort()
        control[row, places] = (rank < kept).to(mask.dtype)
    return control


def shuffled_control(
    token_rewards: Tensor, response_mask: Tensor, generators: Generators, baseline: float = 0.0, width: float = 0.3
) -> Tensor:
    """Token rewards with the segments (runs of one hysteresis state) of each response in random order. The rewards,
    their number and their order within a segment stay; where they fall in the text does not. Arguments and errors as
    for :func:`trulysafe.methods.masks.message_mask`; ``generators`` are :func:`row_generators`."""
    state = hysteresis_state(token_rewards, response_mask, baseline, width)
    shuffled = token_rewards.detach().clone()
    for row, generator in enumerate(generators):
        places = response_mask[row].bool().nonzero().flatten()
        lengths = state[row, places].unique_consecutive(return_counts=True)[1].tolist()
        pieces = shuffled[row, places].split(lengths)
        order = torch.randperm(len(pieces), generator=generator).tolist()
        if pieces:
            shuffled[row, places] = torch.cat([pieces[index] for index in order])
    return shuffled


def shuffled_rewards(
    chosen: Tensor, rejected: Tensor, how: RewardShuffle, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Endpoint rewards of a micro-batch, [pairs], that no longer belong to their pairs; ``generator`` is on the CPU.

    ``pairs`` gives each pair the rewards of a random pair (the spread of per-pair confidence stays, what it knows of
    the pair goes); ``responses`` permutes all rewards (nothing is left of the order either); ``none`` does nothing.
    UserError: shapes that differ.
    """
    if chosen.shape != rejected.shape or chosen.dim() != 1:
        shapes = f"shapes {tuple(chosen.shape)} and {tuple(rejected.shape)}"
        raise UserError(f"shuffled rewards: {shapes}; give two tensors of shape [pairs].")
    if how == "none":
        return chosen, rejected
    if how == "pairs":
        order = torch.randperm(len(chosen), generator=generator).to(chosen.device)
        return chosen[order], rejected[order]
    pool = torch.cat([chosen, rejected])
    first, second = pool[torch.randperm(len(pool), generator=generator).to(pool.device)].chunk(2)
    return first, second
