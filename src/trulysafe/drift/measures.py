"""Order and distribution of responses along training: the measures behind RBRM's hypothesis.

The hypothesis (RBRM, abstract): off-policy training changes the *order* of a model's outputs, while their
*distribution* stays roughly stable; then one pool of samples can be ranked again, round after round, in place of new
sampling. Both sides are measured against the model that the pool was sampled from (the reference):

Order:

- ``kendall``: Kendall's tau-b of the log-likelihoods per token of a prompt's pool responses, policy against reference;
  mean over prompts (Kendall 1945).
- ``spearman``: the same with Spearman's rho.
- ``same_best``: share of prompts whose likeliest response is still the same one.

Distribution:

- ``pool_shift``: mean change of a pool response's log-likelihood, nats per token; for a pool sampled at temperature 1
  without truncation its negative estimates KL(reference || policy) per token.
- ``fresh_shift``: mean log-likelihood *under the reference* of new samples to held-out prompts, minus that of the
  reference's own new samples to the same prompts, nats per token.
- ``token_js``: Jensen-Shannon divergence (Lin 1991), bits, between the token frequencies of new samples of policy and
  reference.
- ``class_tv``: total variation distance between the shares of verdicts of new samples of policy and reference.

Log-likelihoods are per token, since sums are ordered by length above all, before and after training alike. The last two
measures are above 0 for two sets of samples of one model, too: ``floor`` is what two sets of the reference's give.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import kendalltau, spearmanr

from trulysafe.common.errors import UserError
from trulysafe.common.schema import REFERENCE, VERDICTS
from trulysafe.stats.intervals import interval

ORDER, DISTRIBUTION = ("kendall", "spearman", "same_best"), ("pool_shift", "fresh_shift", "token_js", "class_tv")
SIDES = dict.fromkeys(ORDER, "order") | dict.fromkeys(DISTRIBUTION, "distribution")
RANGES = {"kendall": (-1.0, 1.0), "spearman": (-1.0, 1.0), "token_js": (0.0, 1.0), "class_tv": (0.0, 1.0)}
COLUMNS = ["experiment", "step", "side", "measure", "value", "ci_low", "ci_high", "n", "seeds", "floor"]
FEWEST = 3
"""Distinct responses that a prompt needs for a rank correlation."""
_POLICY = ["experiment", "seed", "step"]


def drift_rows(pool: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame:
    """Measure order and distribution of every policy, over seeds.

    ``pool`` and ``fresh`` are what :meth:`trulysafe.drift.follow.Follower.read` gives, of all policies. Returns columns
    :data:`COLUMNS`: the mean with a 95% interval (over seeds and prompt families, for ``token_js`` and ``class_tv``
    Student's over seeds; NaN where all values are the same); ``n`` counts prompts, responses or samples. UserError: no
    policy was followed, or no prompt of the pool has enough responses for a rank correlation.
    """
    if pool.empty:
        raise UserError("drift: no policy was followed. Name trained experiments under drift.experiments.")
    own, shifts = fresh[fresh["experiment"] == REFERENCE], (pool["logp"] - pool["reference_logp"]) / pool["tokens"]
    rows = [
        *_answer_rows(order_values(pool), ORDER),
        *_answer_rows(pool.assign(pool_shift=shifts), ("pool_shift",)),
        *_answer_rows(_fresh_shift(fresh), ("fresh_shift",)),
        *_seed_rows(fresh, own, "token_js", token_divergence),
        *_seed_rows(fresh, own, "class_tv", class_distance),
    ]
    table = pd.DataFrame(rows, columns=COLUMNS).assign(side=lambda found: found["measure"].map(SIDES))
    return table.sort_values(["experiment", "step", "side", "measure"], ascending=[True, True, False, True])


def order_values(pool: pd.DataFrame) -> pd.DataFrame:
    """Columns experiment, seed, step, prompt_id, family, kendall, spearman, same_best, per policy and prompt. Left out
    are prompts without an order: with fewer than :data:`FEWEST` responses, or with equally likely ones alone."""
    rows = []
    for key, group in pool.groupby([*_POLICY, "prompt_id"], sort=True):
        now, before = (group[name].to_numpy() / group["tokens"].to_numpy() for name in ("logp", "reference_logp"))
        if len(group) < FEWEST or np.ptp(now) == 0 or np.ptp(before) == 0:
            continue
        place = dict(zip([*_POLICY, "prompt_id"], key, strict=True))
        found = {"kendall": kendalltau(now, before).statistic, "spearman": spearmanr(now, before).statistic}
        found["same_best"] = float(now.argmax() == before.argmax())
        rows.append({**place, "family": group["family"].iloc[0], **found})
    if not rows:
        do = "Sample more responses per prompt."
        raise UserError(f"drift: no prompt of the pool has {FEWEST} distinct finished responses. {do}")
    return pd.DataFrame(rows)


def token_divergence(a: pd.DataFrame, b: pd.DataFrame) -> float:
    """Jensen-Shannon divergence between the token frequencies of two sets of samples, bits, in [0, 1]."""
    tokens = [np.concatenate([np.asarray(ids, dtype=int) for ids in side["token_ids"]]) for side in (a, b)]
    size = 1 + max(int(ids.max()) for ids in tokens)
    return float(jensenshannon(*(np.bincount(ids, minlength=size) for ids in tokens), base=2) ** 2)


def class_distance(a: pd.DataFrame, b: pd.DataFrame) -> float:
    """Total variation distance between the verdict shares of two sets of samples, in [0, 1]."""
    shares = [side["verdict"].value_counts(normalize=True).reindex(VERDICTS, fill_value=0.0) for side in (a, b)]
    return float((shares[0] - shares[1]).abs().sum() / 2)


def _fresh_shift(fresh: pd.DataFrame) -> pd.DataFrame:
    """Each sample's likelihood under the reference beside the mean of the reference's own samples to its prompt."""
    scored = fresh.assign(per_token=fresh["reference_logp"] / fresh["tokens"]).dropna(subset="per_token")
    usual = scored[scored["experiment"] == REFERENCE].groupby("prompt_id")["per_token"].mean()
    policies = scored[scored["experiment"] != REFERENCE]
    shift = policies["per_token"] - policies["prompt_id"].map(usual)
    return policies.assign(fresh_shift=shift).dropna(subset="fresh_shift")


def _answer_rows(values: pd.DataFrame, measures: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for (experiment, step), group in values.groupby(["experiment", "step"], sort=True):
        for measure in measures:
            row = {"experiment": experiment, "step": step, "measure": measure, "value": group[measure].mean()}
            row |= {"n": len(group), "seeds": group["seed"].nunique(), "floor": np.nan}
            yield row | _limits(measure, group[measure], seeds=group["seed"], families=group["family"])


def _seed_rows(
    fresh: pd.DataFrame, own: pd.DataFrame, measure: str, distance: Callable[[pd.DataFrame, pd.DataFrame], float]
) -> Iterator[dict[str, Any]]:
    """Distances of a seed's samples to the reference's first set, and the distance of its second set as the floor."""
    first, second = own[own["seed"] == 0], own[own["seed"] == 1]
    floor = distance(second, first)
    policies = fresh[fresh["experiment"] != REFERENCE]
    for (experiment, step), group in policies.groupby(["experiment", "step"], sort=True):
        values = [distance(of_seed, first) for _, of_seed in group.groupby("seed", sort=True)]
        row = {"experiment": experiment, "step": step, "measure": measure, "value": float(np.mean(values))}
        yield row | {"n": len(group), "seeds": len(values), "floor": floor} | _limits(measure, values)


def _limits(measure: str, values: Any, **groups: Any) -> dict[str, float]:
    """Limits of a mean, within what the measure can be; NaN where all values are the same, but for shares."""
    bounds = RANGES.get(measure, (-np.inf, np.inf))
    found = interval(values, **groups, answers=measure == "same_best", bounds=bounds)
    return {"ci_low": found.low, "ci_high": found.high}
