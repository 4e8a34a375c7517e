"""How alike the answers of a policy are: distinct-n and self-BLEU, as metric rows beside those of the judges.

- ``distinct_1``, ``distinct_2``, ``distinct_3``: different n-grams over all n-grams of the answers (Li et al. 2016,
  arXiv 1510.03055). The more answers, the lower; so views are cut to the same number of answers, and arms are compared
  on the same prompts.
- ``self_bleu``: mean BLEU-4 of each answer with all others as references (Zhu et al. 2018, arXiv 1802.01886), in
  [0, 1]; high is alike.
- ``self_bleu_same_prompt``: the same among the answers to one prompt, averaged over prompts with several answers.

Tokens are those of sacrebleu's tokenizer ``13a``, BLEU is sacrebleu's with its exponential smoothing and effective
order. A policy that gives one refusal to everything scores low on the first and high on the others.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.helpers import extract_all_word_ngrams
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from trulysafe.common.schema import check_table
from trulysafe.data.roles import at_most
from trulysafe.evaluate.metrics import POOLED, policy_names
from trulysafe.evaluate.outcomes import Benchmarks
from trulysafe.stats.intervals import interval

TEXT = "text"
"""Judge of these rows: nobody judged, the texts alone were counted."""
ORDERS = (1, 2, 3)
METRICS = (*(f"distinct_{order}" for order in ORDERS), "self_bleu", "self_bleu_same_prompt")
_BLEU_ORDER = 4
_TOKENIZER = Tokenizer13a()
Ngram = tuple[str, ...]


def diversity(texts: Sequence[str], prompts: Sequence[str] | None = None) -> dict[str, float]:
    """Measure the diversity of answers; equal ``prompts`` mark answers to one prompt, None says that all differ.
    Returns a value per entry of :data:`METRICS`; NaN where there is nothing to count (no n-grams, fewer than two
    answers, no prompt with several answers)."""
    tokens = [_TOKENIZER(text) for text in texts]
    found = {f"distinct_{order}": _distinct(tokens, order) for order in ORDERS}
    groups: dict[str, list[str]] = {}
    for prompt, text in zip(prompts or (), texts, strict=prompts is not None):
        groups.setdefault(prompt, []).append(text)
    within = [_mean_self_bleu(group) for group in groups.values() if len(group) > 1]
    same = float(np.mean(within)) if within else float("nan")
    return {**found, "self_bleu": _mean_self_bleu(texts), "self_bleu_same_prompt": same}


def self_bleu(texts: Sequence[str]) -> list[float]:
    """BLEU-4 of each text against all others, in [0, 1], in their order; equal to sacrebleu's sentence score over 100.
    The time grows with the number of texts, not with its square: n-grams are counted once."""
    counted = [extract_all_word_ngrams(_TOKENIZER(text), 1, _BLEU_ORDER) for text in texts]
    # highest and second-highest count of an n-gram over the texts: without one text, the highest is one of the two
    highest: dict[Ngram, tuple[int, int]] = {}
    for ngrams, _ in counted:
        for ngram, count in ngrams.items():
            first, second = highest.get(ngram, (0, 0))
            highest[ngram] = (count, first) if count > first else (first, max(second, count))
    lengths = Counter(length for _, length in counted)
    return [_bleu(ngrams, length, highest, lengths) for ngrams, length in counted]


def diversity_rows(answers: pd.DataFrame, benchmarks: Benchmarks, provenance_id: str, most: int) -> pd.DataFrame:
    """Measure the end points of policies, per axis, risk class and seed: a table of schema ``metrics``. Its judge is
    :data:`TEXT`, its benchmark ``<purpose>/<axis>`` of the benchmarks. Of each policy and risk class ``most`` answers
    are measured, those to the prompts with the lowest hashes, the same for every policy; risk ``all`` takes ``most`` of
    all classes together. Rows of one seed have no limits; see :func:`pooled_rows`."""
    last = answers.groupby(["experiment", "seed"])["step"].transform("max")
    views = {name: f"{about.get('purpose', 'test')}/{about['axis']}" for name, about in benchmarks.items()}
    table = answers[answers["step"] == last].assign(benchmark=lambda rows: rows["benchmark"].map(views))
    table = pd.concat([table[table["risk"] != ""], table.assign(risk="all")], ignore_index=True)
    rows, keys = [], ["experiment", "seed", "step", "benchmark", "risk"]
    for group_keys, group in table.groupby(keys, sort=True):
        measured = at_most(group, most)
        found = diversity(measured["response"].tolist(), measured["prompt_id"].tolist())
        about = dict(zip(keys, group_keys, strict=True)) | {"n": len(measured)}
        rows += [{**about, "metric": metric, "value": value} for metric, value in found.items() if not np.isnan(value)]
    return _as_metrics(rows, provenance_id)


def pooled_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows over all seeds: the mean of their values with Student's 95% limits over seeds, NaN where there is one.
    Answers are not resampled: a sample with repeats is less diverse by construction, so its spread says nothing."""
    found = []
    keys = ["experiment", "step", "benchmark", "risk", "metric"]
    for group_keys, group in rows[rows["seed"] != POOLED].groupby(keys, sort=True):
        values = group["value"].to_numpy()
        spread = interval(values, answers=False, bounds=(0.0, 1.0))
        limits = {"stderr": spread.stderr, "ci_low": spread.low, "ci_high": spread.high}
        about = dict(zip(keys, group_keys, strict=True))
        found.append({**about, "seed": POOLED, "value": values.mean(), "n": int(group["n"].sum()), **limits})
    return _as_metrics(found, str(rows["provenance_id"].iloc[0]) if len(rows) else "")


def _as_metrics(rows: Sequence[Mapping[str, Any]], provenance_id: str) -> pd.DataFrame:
    columns = ["experiment", "seed", "step", "benchmark", "risk", "metric", "value", "n", "stderr", "ci_low", "ci_high"]
    table = pd.DataFrame(list(rows), columns=columns).assign(judge=TEXT, provenance_id=provenance_id)
    return check_table(table.assign(policy=policy_names(table)), "metrics", "diversity")


def _distinct(tokens: Sequence[str], order: int) -> float:
    counts: Counter[Ngram] = Counter()
    for text in tokens:
        counts.update(extract_all_word_ngrams(text, order, order)[0])
    return len(counts) / counts.total() if counts else float("nan")


def _mean_self_bleu(texts: Sequence[str]) -> float:
    return float(np.mean(self_bleu(texts))) if len(texts) > 1 else float("nan")


def _bleu(ngrams: Counter[Ngram], length: int, highest: dict[Ngram, tuple[int, int]], lengths: Counter[int]) -> float:
    correct, total = [0] * _BLEU_ORDER, [0] * _BLEU_ORDER
    for ngram, count in ngrams.items():
        first, second = highest[ngram]
        total[len(ngram) - 1] += count
        correct[len(ngram) - 1] += min(count, second if count == first else first)
    others = lengths - Counter([length])
    closest = min(others, key=lambda other: (abs(other - length), other))
    scored = BLEU.compute_bleu(correct, total, length, closest, smooth_method="exp", effective_order=True)
    return min(1.0, scored.score / 100)  # exp(log) of a perfect match may end a rounding error above
