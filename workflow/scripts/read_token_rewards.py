"""Token rewards of a pair table, read from a source (rule read_token_rewards)."""

from trulysafe.common.schema import read_table
from trulysafe.models.load import load_tokenizer
from trulysafe.models.tokens import encode
from trulysafe.token_rewards.sources import MODEL, implicit_reader, token_rm_reader
from trulysafe.workflow.job import job

with job(snakemake) as run:
    pairs = read_table(run.input.pairs, "pairs")
    tokenizer = load_tokenizer(run.params.model)
    pad, batch_size = tokenizer.pad_token_id, run.params.batch_size
    if run.params.kind == "token_rm":
        read = token_rm_reader(f"{run.input.source}/{MODEL}", pad, batch_size)
    else:
        read = implicit_reader(run.params.model, run.params.policy, pad, batch_size)
    table = pairs[["pair_id"]].copy()
    for side in ("chosen", "rejected"):
        encoded = [encode(tokenizer, prompt, text) for prompt, text in zip(pairs["prompt"], pairs[side], strict=True)]
        table[f"{side}_token_values"] = read(encoded)
    run.note(pairs=len(table))
    table.to_parquet(run.output.table, index=False)
