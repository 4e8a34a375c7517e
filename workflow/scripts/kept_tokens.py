"""Token rewards, states and masks of a few harmless pairs (rule kept_tokens)."""

from pathlib import Path
from typing import Any

import pandas as pd

from trulysafe.methods.method import Mask
from trulysafe.models.load import load_tokenizer
from trulysafe.reward.kept_tokens import kept_tokens
from trulysafe.reward.mask_scores import mask_scores
from trulysafe.reward.states import SCALES
from trulysafe.reward.token_scale import load_scale
from trulysafe.workflow.job import job


def _tables(given: Any, prefix: str) -> list[pd.DataFrame]:
    """Pairs, their token ids and the values after each token; a pair that several tables hold counts once."""
    paths = [given[f"{prefix}{name}"] for name in ("pairs", "reference", "values")]
    return [pd.concat(map(pd.read_parquet, of_kind), ignore_index=True).drop_duplicates("pair_id") for of_kind in paths]


with job(snakemake) as run:
    mask = Mask(**run.params.mask)
    how = load_scale(Path(run.input.source) / SCALES, mask.form), mask, load_tokenizer(run.params.model)
    table = kept_tokens(*_tables(run.input, ""), *how, run.params.examples)
    run.note(responses=int(table[["example", "side"]].drop_duplicates().shape[0]), kept=float(table["kept"].mean()))
    table.to_csv(run.output.table, index=False, lineterminator="\n")
    for path in run.output.scores:
        mask_scores(*_tables(run.input, "scored_"), *how).to_csv(path, index=False, lineterminator="\n")
