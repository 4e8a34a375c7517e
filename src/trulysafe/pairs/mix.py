"""Draw training sets of preference pairs by risk class (FDC, Equilibrate RLHF).

Three rules for the harmful classes: ``quota`` (the paper's composition, so many pairs per class), ``random`` (a simple
random sample of all harmful pairs, so classes come at their natural shares) and ``ratio`` (so many pairs per general
pair, as the precursor states it). Harmless classes are drawn by count, alike under every rule.

Pairs are taken in the order of a hash of (draw, pair), so a draw is a simple random sample without replacement, does
not depend on the order of the tables, and is nested: within one draw the smaller set is contained in the larger one.

Labels may be flipped deliberately, to see which method notices: a share of the harmful pairs of each class, by a hash
of its own: the pairs are the same whatever the share, and the smaller set of flipped ones lies in the larger one.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.common.ids import unit_interval
from trulysafe.common.schema import HARMFUL_RISKS
from trulysafe.common.vocabulary import MixRule

Counts = Mapping[str, int]
Stratum = tuple[tuple[str, ...], int, str]
"""Classes to draw from together, number of pairs, and the key that asks for them."""


def draw(
    pairs: Mapping[str, pd.DataFrame],
    *,
    rule: MixRule,
    quotas: Counts | None = None,
    total: int | None = None,
    ratios: Mapping[str, float] | None = None,
    others: Counts | None = None,
    draws: Sequence[int] = (0,),
    flip: float = 0.0,
) -> pd.DataFrame:
    """Draw one training set per seed of ``draws``: a table of schema ``mix``, ordered by draw, class and hash.

    Args:
        pairs: pair tables by name, schema ``pairs``; a pair that several tables hold counts once, for the first.
        rule: ``quota``, ``random`` or ``ratio``.
        quotas: pairs per harmful class (rule ``quota``).
        total: number of harmful pairs (rule ``random``).
        ratios: harmful pairs per general pair, by class, for example ``{"IHD": 0.01}`` (rule ``ratio``).
        others: pairs per harmless class, the same under every rule.
        draws: seeds.
        flip: share of the harmful pairs, class by class, whose label is marked as flipped, in [0, 1].

    UserError: a quota larger than the data, or ratios without a number of general pairs.
    """
    frames = [frame[["pair_id", "risk"]].assign(pairs=name) for name, frame in pairs.items()]
    pool = pd.concat(frames, ignore_index=True).drop_duplicates("pair_id", ignore_index=True)
    wanted = wanted_strata(rule, quotas, total, ratios, others or {})
    return pd.concat([_flipped(_one_draw(pool, wanted, seed), flip, seed) for seed in draws], ignore_index=True)


def realised(mix: pd.DataFrame) -> pd.DataFrame:
    """Pairs per draw, class and pair table: columns draw, risk, pairs, n and share (of the draw)."""
    counts = mix.groupby(["draw", "risk", "pairs"], sort=True).size().rename("n").reset_index()
    return counts.assign(share=counts["n"] / counts.groupby("draw")["n"].transform("sum"))


def wanted_strata(
    rule: MixRule, quotas: Counts | None, total: int | None, ratios: Mapping[str, float] | None, others: Counts
) -> list[Stratum]:
    """Strata to draw, see :func:`draw`: classes, number of pairs, and the key that asks for them."""
    strata: list[Stratum] = [((risk,), count, f"others.{risk}") for risk, count in others.items()]
    if rule == "quota":
        return [*(((risk,), count, f"quotas.{risk}") for risk, count in (quotas or {}).items()), *strata]
    if rule == "random":
        return [(HARMFUL_RISKS, total or 0, "total"), *strata]
    if not (general := others.get("general")):
        raise UserError("mix, rule 'ratio': a number of general pairs, `others.general` is missing.")
    return [*(((risk,), round(ratio * general), f"ratios.{risk}") for risk, ratio in (ratios or {}).items()), *strata]


def _one_draw(pool: pd.DataFrame, wanted: list[Stratum], seed: int) -> pd.DataFrame:
    order = pool["pair_id"].map(lambda pair: unit_interval(pair, salt=f"mix {seed}"))
    ordered = pool.assign(draw=seed, order=order).sort_values(["order", "pair_id"])
    parts = [_stratum(ordered[ordered["risk"].isin(risks)], risks, count, key) for risks, count, key in wanted]
    drawn = pd.concat([ordered.iloc[:0], *parts]).sort_values(["risk", "order", "pair_id"], ignore_index=True)
    return drawn[["draw", "pair_id", "risk", "pairs"]]


def _flipped(drawn: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Mark ``share`` of the pairs of each harmful class, rounded, as flipped: those lowest in the order of a hash."""
    if share == 0:
        return drawn.assign(flipped=False)
    order = drawn["pair_id"].map(lambda pair: unit_interval(pair, salt=f"flip {seed}"))
    rank, size = (order.groupby(drawn["risk"]).transform(how) for how in ("rank", "size"))
    return drawn.assign(flipped=drawn["risk"].isin(HARMFUL_RISKS) & (rank <= (share * size).round()))


def _stratum(available: pd.DataFrame, risks: Sequence[str], count: int, key: str) -> pd.DataFrame:
    if count > len(available):
        have, risk = len(available), "/".join(risks)
        asked = f"{count} pairs of class {risk} asked, {have} available after pair construction"
        do = f"dd {risk} pairs (more prompts, more samples per prompt, a smaller `min_gap`, a larger `max_new_tokens`)"
        fewer = f"Ask for at most {have}, or a" if have else "A"
        raise UserError(f"mix, `{key}`: {asked}. {fewer}{do}. The log of the pair tables counts what was dropped.")
    return available.head(count)
