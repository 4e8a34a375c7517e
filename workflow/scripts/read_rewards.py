"""Endpoint rewards and token rewards of a pair table (rule read_rewards)."""

from trulysafe.common.schema import read_table
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.models.tokens import encode_pairs
from trulysafe.reward.model import HybridReward
from trulysafe.reward.read import read_rewards
from trulysafe.workflow.job import job

with job(snakemake) as run:
    pairs = read_table(run.input.pairs, "pairs")
    tokenizer = load_tokenizer(run.params.model)
    model = load_model(run.params.model)
    reward, token_reward = (
        HybridReward.from_pretrained(f"{run.input.reward}/{part}", run.params.identity).to(model.device)
        for part in ("endpoint", "tokens")
    )
    table = pairs[["pair_id"]].copy()
    sides = encode_pairs(tokenizer, pairs["prompt"], pairs["chosen"], pairs["rejected"])
    for side, encoded in sides.items():
        read = read_rewards(model, encoded, tokenizer.pad_token_id, run.params.batch_size, reward, token_reward)
        table[f"{side}_reward"] = [item.endpoint for item in read]
        table[f"{side}_token_values"] = [item.token_values for item in read]
    table.to_parquet(run.output.table, index=False)
