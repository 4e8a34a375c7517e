"""Sample responses for one shard of a pool (rule sample)."""

import pandas as pd
from tqdm import tqdm

from trulysafe.common.schema import read_table, write_table
from trulysafe.models.decoding import Decoding
from trulysafe.models.load import load_tokenizer
from trulysafe.models.sampling import blocks, load_generator, respond, shard
from trulysafe.models.tokens import encode
from trulysafe.workflow.job import job

with job(snakemake) as run:
    options = dict(run.params.options)
    block, seed = options.pop("block"), options.pop("seed")
    tokenizer = load_tokenizer(run.params.model)
    work = shard(
        blocks(read_table(run.input.prompts, "prompts"), block), int(run.wildcards.shard), int(run.wildcards.shards)
    )
    model = load_generator(run.params.model) if work else None  # a shard may be left without a block
    sampled = respond(model, tokenizer, work, Decoding(**options), seed)
    samples = pd.concat(
        list(tqdm(sampled, total=len(work), desc="Sampling", unit="block", mininterval=5)), ignore_index=True
    )
    read = samples.drop_duplicates("prompt_id")["prompt"]  # once for all samples
    finished = float(samples["finished"].mean()) if len(samples) else 0.0
    run.note(responses=len(samples), finished=finished, tokens=int(samples["tokens"].sum()))
    run.note(prompt_tokens=sum(len(encode(tokenizer, prompt).prompt_ids) for prompt in read))
    write_table(samples, run.output.samples, "samples")
