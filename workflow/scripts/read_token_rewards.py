"""Token rewards of a pair table, read from a source (rule read_token_rewards)."""

from trulysafe.common.kinds import TOKEN_REWARDS
from trulysafe.common.schema import read_table
from trulysafe.models.load import load_tokenizer
from trulysafe.models.tokens import encode_pairs
from trulysafe.workflow.job import job

with job(snakemake) as run:
    pairs = read_table(run.input.pairs, "pairs")
    tokenizer = load_tokenizer(run.params.model)
    options = TOKEN_REWARDS.options(run.params.kind, run.params.options)
    open_reader, pad = TOKEN_REWARDS.module(run.params.kind).reader, tokenizer.pad_token_id
    read = open_reader(options, run.input.source, run.params.model, run.params.policy, pad, run.params.batch_size)
    table = pairs[["pair_id"]].copy()
    sides = encode_pairs(tokenizer, pairs["prompt"], pairs["chosen"], pairs["rejected"])
    for side, encoded in sides.items():
        table[f"{side}_token_values"] = read(encoded)
    run.note(pairs=len(table))
    table.to_parquet(run.output.table, index=False)
