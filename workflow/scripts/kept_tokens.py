"""Token rewards, states and masks of a few harmless pairs (rule kept_tokens)."""

from pathlib import Path

import pandas as pd

from trulysafe.common.schema import read_table
from trulysafe.methods.method import Mask
from trulysafe.models.load import load_tokenizer
from trulysafe.reward.kept_tokens import kept_tokens
from trulysafe.reward.states import SCALES
from trulysafe.reward.token_scale import load_scale
from trulysafe.workflow.job import job

with job(snakemake) as run:
    mask = Mask(**run.params.mask)
    table = kept_tokens(
        read_table(run.input.pairs, "pairs"),
        pd.read_parquet(run.input.reference),
        pd.read_parquet(run.input.values),
        load_scale(Path(run.input.source) / SCALES, mask.form),
        mask,
        load_tokenizer(run.params.model),
        run.params.examples,
    )
    run.note(responses=int(table[["example", "side"]].drop_duplicates().shape[0]), kept=float(table["kept"].mean()))
    table.to_csv(run.output.table, index=False, lineterminator="\n")
