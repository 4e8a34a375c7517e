"""The frozen model's log-probabilities of a pair table (rule reference)."""

from trulysafe.common.schema import read_table
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.models.scoring import token_logps
from trulysafe.models.tokens import encode_pairs, length
from trulysafe.workflow.job import job

with job(snakemake) as run:
    pairs = read_table(run.input.pairs, "pairs")
    tokenizer = load_tokenizer(run.params.model)
    model = load_model(run.params.model)
    table = pairs[["pair_id"]].copy()
    sides = encode_pairs(tokenizer, pairs["prompt"], pairs["chosen"], pairs["rejected"])
    for side, encoded in sides.items():
        table["prompt_ids"] = [item.prompt_ids for item in encoded]
        table[f"{side}_ids"] = [item.response_ids for item in encoded]
        table[f"{side}_ref_token_logps"] = token_logps(model, encoded, tokenizer.pad_token_id, run.params.batch_size)
    run.note(pairs=len(table), tokens=sum(map(length, sides["chosen"] + sides["rejected"])))
    table.to_parquet(run.output.table, index=False)
