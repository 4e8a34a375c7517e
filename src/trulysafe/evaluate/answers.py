"""Answers of policies to benchmarks, cut into shards of whole blocks that load as few models as they can.

All blocks of all policies stand in one fixed order, policy by policy. A shard is a stretch of that order, and the stretches cost about the
same; so a shard loads one or two policies, not all of them, and the shards one after another are the same table as one shard alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trulysafe.common.schema import SCHEMAS
from trulysafe.evaluate.evaluation_prompts import benchmark_prompts
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.models.sampling import Decoding, blocks, respond

_PLACE = ("experiment", "seed", "step")


class Piece(NamedTuple):
    """One block of prompts for one policy."""

    policy: int
    benchmark: str
    block: pd.DataFrame
    max_new_tokens: int

    @property
    def cost(self) -> int:
        """Tokens that the block may take."""
        return len(self.block) * self.max_new_tokens


def pieces(
    policies: Sequence[Mapping[str, Any]], benchmarks: Mapping[str, Mapping[str, Any]], split: Path | str, size: int
) -> list[Piece]:
    """All blocks that the policies answer, in the order policy, benchmark, length.

    Args:
        policies: what :meth:`trulysafe.plan.models.Models.of_job` gives.
        benchmarks: stanzas of ``benchmarks`` with ``datasets`` resolved to table paths.
        split: the split table.
        size: prompts per block.

    Raises:
        UserError: no prompt of a benchmark is for evaluation.
    """
    work = {
        (name, last): blocks(benchmark_prompts(benchmark, split, last=last), size, by_length=True)
        for name, benchmark in benchmarks.items()
        for last in sorted({bool(policy["last"]) for policy in policies})
    }
    return [
        Piece(number, name, block, benchmark["max_new_tokens"])
        for number, policy in enumerate(policies)
        for name, benchmark in benchmarks.items()
        for block in work[name, bool(policy["last"])]
    ]


def stretch(work: Sequence[Piece], index: int, count: int) -> list[Piece]:
    """Shard ``index`` of ``count``: the pieces whose middle falls into its share of the whole cost; possibly none."""
    whole, before, kept = sum(piece.cost for piece in work), 0, []
    for piece in work:
        if (2 * before + piece.cost) * count // (2 * whole) == index:
            kept.append(piece)
        before += piece.cost
    return kept


def answers(policies: Sequence[Mapping[str, Any]], work: Sequence[Piece]) -> Iterator[pd.DataFrame]:
    """Answer greedily, each policy loaded once.

    Args:
        policies: the policies that the pieces number.
        work: pieces in order.

    Yields:
        Tables of schema ``answers``, one per piece; a single empty one where there is no piece.
    """
    if not work:
        yield pd.DataFrame(columns=list(SCHEMAS["answers"]))
    for number, of_policy in groupby(work, key=lambda piece: piece.policy):
        policy = policies[number]
        tokenizer, model = load_tokenizer(policy["model"]), load_model(policy["model"])
        place = {key: policy[key] for key in _PLACE}
        for (benchmark, most), of_benchmark in groupby(
            of_policy, key=lambda piece: (piece.benchmark, piece.max_new_tokens)
        ):
            prompts = [piece.block for piece in of_benchmark]
            for block in respond(model, tokenizer, prompts, Decoding(max_new_tokens=most), seed=0):
                yield block.assign(benchmark=benchmark, **place)
