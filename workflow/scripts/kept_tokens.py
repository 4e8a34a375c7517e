"""Token rewards, states and masks of a few harmless pairs (rule kept_tokens)."""

from pathlib import Path
from typing import Any

import pandas as pd

from trulysafe.methods.parts import Mask
from trulysafe.models.load import load_tokenizer
from trulysafe.reward.kept_tokens import kept_tokens
from trulysafe.reward.mask_scores import mask_scores
from trulysafe.reward.masked_pairs import joined
from trulysafe.reward.states import SCALES
from trulysafe.reward.token_scale import load_scale
from trulysafe.workflow.job import job


def _pairs(given: Any, prefix: str) -> pd.DataFrame:
    """Pairs with token ids and the values after each token; a pair that several tables hold counts once."""
    paths = [given[f"{prefix}{name}"] for name in ("pairs", "reference", "values")]
    return joined(*(pd.concat(map(pd.read_parquet, files)).drop_duplicates("pair_id") for files in paths))


with job(snakemake) as run:
    mask = Mask(**run.params.mask)
    how = load_scale(Path(run.input.source) / SCALES, mask.form), mask, load_tokenizer(run.params.model)
    table = kept_tokens(_pairs(run.input, ""), *how, run.params.examples)
    run.note(responses=int(table[["example", "side"]].drop_duplicates().shape[0]), kept=float(table["kept"].mean()))
    table.to_csv(run.output.table, index=False, lineterminator="\n")
    for path in run.output.scores:
        mask_scores(_pairs(run.input, "scored_"), *how).to_csv(path, index=False, lineterminator="\n")
