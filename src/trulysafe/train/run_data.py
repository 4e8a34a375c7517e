"""What training runs read: a draw of a mix with what was computed for its pairs, and verdicts on sampled pairs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from trulysafe.common.errors import UserError
from trulysafe.common.schema import HARMFUL_RISKS, RISKS, read_table
from trulysafe.evaluate.judging import judged
from trulysafe.evaluate.outcomes import AXES
from trulysafe.methods.method import Method
from trulysafe.models.tokens import Encoded
from trulysafe.reward.token_scale import TokenScale

PROMPT, META = "judged_prompt", "judged_meta"
"""Columns of the training set that a judge of texts reads, beside ``risk``."""


def pair_rows(paths: Sequence[Path | str]) -> pd.DataFrame:
    """What rules such as ``reference`` computed per pair, over several pair tables; shared pairs count once."""
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True).drop_duplicates("pair_id")


def run_data(
    run: Mapping[str, Any],
    method: Method,
    scale: TokenScale | None = None,
    values: pd.DataFrame | None = None,
    texts: pd.DataFrame | None = None,
) -> Dataset:
    """Data set (:func:`training_set`) of one run of a training job, as in :meth:`trulysafe.plan.train.Train.runs`. A
    mask reads ``values`` after each token where they come from another source than the hybrid reward; ``scale`` is that
    of the token rewards, and ``texts`` are for a judge of texts."""
    mix = read_table(run["mix"], "mix")
    rewards = pair_rows(run["rewards"]) if method.needs_reward else None
    drawn = mix[mix["draw"] == run["seed"]]
    source = rewards if values is None else values
    tokens = (source, scale) if method.mask.rule != "none" and source is not None and scale is not None else None
    return training_set(drawn, pair_rows(run["reference"]), rewards, tokens, texts)


def training_set(
    mix: pd.DataFrame,
    reference: pd.DataFrame,
    rewards: pd.DataFrame | None,
    tokens: tuple[pd.DataFrame, TokenScale] | None = None,
    texts: pd.DataFrame | None = None,
) -> Dataset:
    """Join a drawn mix with what was computed per pair into the trainer's data set.

    The two responses of a pair that is ``flipped`` change sides, and all that was computed for them goes along.

    Args:
        mix: one draw.
        reference: token ids and reference log-probabilities (rule ``reference``).
        rewards: endpoint rewards (rule ``read_rewards``), if the method reads them.
        tokens: values after each token (rules ``read_rewards`` and ``read_token_rewards``) and their scale, for a mask.
        texts: pair tables (schema ``pairs``), for a judge of texts.

    UserError: the mix is empty, or names pairs that ``reference``, ``rewards`` or ``tokens`` lack.
    """
    if mix.empty:
        raise UserError("The mix holds no pairs, so there is nothing to train on. Raise its quotas or totals.")
    table, sides = _joined(mix, reference, "reference log-probabilities"), ("chosen", "rejected")
    columns: dict[str, Any] = {
        "prompt_ids": _lists(table["prompt_ids"]),
        "pair_index": list(range(len(table))),
        "pair_id": [str(pair) for pair in table["pair_id"]],
        "in_scope": [risk in HARMFUL_RISKS for risk in table["risk"]],
        "risk": [RISKS.index(risk) for risk in table["risk"]],
    }
    if table["flipped"].any():
        columns["flipped"] = table["flipped"].tolist()
    for name in ("ids", "ref_token_logps"):
        columns |= {f"{side}_{name}": _lists(table[f"{side}_{name}"]) for side in sides}
    if rewards is not None:
        read = _joined(mix, rewards, "rewards")
        columns |= {f"{side}_reward": read[f"{side}_reward"].tolist() for side in sides}
    if tokens is not None:
        values, scale = _joined(mix, tokens[0], "token rewards"), tokens[1]
        for side in sides:
            of_side = _lists(values[f"{side}_token_values"])
            columns[f"{side}_token_rewards"] = [scale.apply(of_tokens) for of_tokens in of_side]
    if texts is not None:
        judged = _joined(mix, texts, "texts")
        columns |= {PROMPT: judged["prompt"].tolist(), META: judged["meta"].tolist()}
    return Dataset.from_dict(columns)


def _joined(mix: pd.DataFrame, table: pd.DataFrame, what: str) -> pd.DataFrame:
    drawn = mix[["pair_id", "risk"]].assign(flipped=mix.get("flipped", False))
    joined = drawn.merge(table.drop(columns="risk", errors="ignore"), on="pair_id", how="left", indicator=True)
    absent = joined.loc[joined["_merge"] != "both", "pair_id"]
    if len(absent):
        found = f"{len(absent)} pairs of the mix have no {what}, first {absent.iloc[0]}"
        raise UserError(f"{found}. Rerun the rule that computes them.")
    return _sides_swapped(joined, joined["flipped"].to_numpy(dtype=bool))


def _sides_swapped(table: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Exchange the columns ``chosen_...`` and ``rejected_...`` in some rows."""
    swapped = table.copy()
    for column in table.columns:
        if column.startswith("chosen_"):
            twin = column.replace("chosen_", "rejected_", 1)
            swapped[column] = table[column].where(~rows, table[twin])
            swapped[twin] = table[twin].where(~rows, table[column])
    return swapped


def _lists(column: Iterable[Any]) -> list[list[Any]]:
    return [list(item.tolist()) if hasattr(item, "tolist") else list(item) for item in column]


class TextJudge:
    """An :data:`trulysafe.trainers.online_pairs.OnlineJudge`: 1 for a response that counts as safe, 0 for any other.

    Args:
        spec: ``kind``, ``options`` and, for a judge that is fitted, ``artefact``, the folder of its fit.
        tokenizer: makes texts of token ids.
    """

    columns = (PROMPT, META, "risk")

    def __init__(self, spec: Mapping[str, Any], tokenizer: Any) -> None:
        self.spec, self.tokenizer = spec, tokenizer

    def __call__(self, examples: Sequence[Mapping[str, Any]], responses: Sequence[Encoded]) -> list[float]:
        """Score responses: 1 or 0."""
        texts = self.tokenizer.batch_decode([item.response_ids for item in responses], skip_special_tokens=True)
        answers = pd.DataFrame({"response": [text.strip() for text in texts], "finished": True})
        answers["prompt"], answers["meta"] = [row[PROMPT] for row in examples], [row[META] for row in examples]
        answers["risk"] = [RISKS[row["risk"]] for row in examples]
        return judged(answers, self.spec)["verdict"].isin(AXES["safety"]["safe"]).astype(float).tolist()
