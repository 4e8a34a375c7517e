"""Controls: what a mask or a confidence would do if it knew nothing about the text.

Every draw is seeded by the run's seed and the token ids it is for, so that batch, padding, number of processes and a
resumed run give the same control, and a response keeps its random mask through all epochs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.common.ids import stable_seed
from trulysafe.methods.masks import hysteresis_state, keep_eos
from trulysafe.methods.method import REWARD_SHUFFLES


def row_generators(seed: int, ids: Tensor, attention: Tensor) -> list[torch.Generator]:
    """One generator per row, seeded by ``seed`` and the row's token ids without padding.

    Args:
        seed: of the run.
        ids: token ids, shape [rows, tokens].
        attention: 1 on the row's own tokens, same shape.
    """
    kept = [row[mask.bool()].tolist() for row, mask in zip(ids, attention, strict=True)]
    return [torch.Generator().manual_seed(stable_seed("control", seed, *row)) for row in kept]


def random_control(
    mask: Tensor, response_mask: Tensor, generators: Sequence[torch.Generator], eos: str = "keep"
) -> Tensor:
    """As many tokens of each response as ``mask`` keeps, but random ones.

    Args:
        mask: 0/1, shape [rows, tokens].
        response_mask: 1 on response tokens, same shape.
        generators: one per row, see :func:`row_generators`.
        eos: the mask's option for the end-of-turn token; unless it is ``rule`` that token keeps its fate.
    """
    free = response_mask.bool() if eos == "rule" else keep_eos(response_mask, response_mask, "drop").bool()
    control = mask.clone()
    for row, generator in enumerate(generators):
        places = free[row].nonzero().flatten()
        kept = mask[row, places].bool().sum()
        rank = torch.rand(len(places), generator=generator).to(mask.device).argsort().argsort()
        control[row, places] = (rank < kept).to(mask.dtype)
    return control


def shuffled_control(
    token_rewards: Tensor,
    response_mask: Tensor,
    generators: Sequence[torch.Generator],
    baseline: float = 0.0,
    width: float = 0.3,
) -> Tensor:
    """Token rewards with the segments (runs of one hysteresis state) of each response in random order.

    The rewards, their number and their order within a segment stay; where they fall in the text does not.

    Args:
        token_rewards: shape [rows, tokens]; what lies outside the responses stays as it is.
        response_mask: 1 on response tokens, same shape.
        generators: one per row, see :func:`row_generators`.
        baseline, width: of the states, see :func:`trulysafe.methods.masks.message_mask`.

    Raises:
        UserError: shapes that do not match, or a reward that is not finite.
    """
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


def shuffled_rewards(chosen: Tensor, rejected: Tensor, how: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Endpoint rewards of a micro-batch that no longer belong to their pairs.

    Args:
        chosen, rejected: rewards, shape [pairs].
        how: ``pairs`` gives each pair the rewards of a random pair (the spread of per-pair confidence stays, what it
            knows of the pair goes); ``responses`` permutes all rewards (nothing is left of the order either); ``none``
            does nothing.
        generator: on the CPU.

    Raises:
        UserError: unknown ``how``, or shapes that differ.
    """
    if how not in REWARD_SHUFFLES:
        raise not_accepted("confidence.shuffle", how, REWARD_SHUFFLES)
    if chosen.shape != rejected.shape or chosen.dim() != 1:
        raise UserError(
            f"shuffled rewards: shapes {tuple(chosen.shape)} and {tuple(rejected.shape)}; give two tensors of shape "
            "[pairs]."
        )
    if how == "none":
        return chosen, rejected
    if how == "pairs":
        order = torch.randperm(len(chosen), generator=generator).to(chosen.device)
        return chosen[order], rejected[order]
    pool = torch.cat([chosen, rejected])
    first, second = pool[torch.randperm(len(pool), generator=generator).to(pool.device)].chunk(2)
    return first, second
