"""Likelihoods and new samples of the followed policies of one training job (rule pool_likelihoods)."""

import pandas as pd
from tqdm import tqdm

from trulysafe.common.schema import read_table
from trulysafe.data.roles import at_most, rows_of_role
from trulysafe.drift.follow import REFERENCES, Follower
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.workflow.job import job

with job(snakemake) as run:
    options = run.params.options
    tokenizer, reference = load_tokenizer(options["reference"]), load_model(options["reference"])
    follower = Follower(reference, tokenizer, run.params.batch_size)
    samples = pd.concat([read_table(path, "samples") for path in run.input.samples], ignore_index=True)
    pool = follower.pool(samples, options["prompts"])
    held_out = rows_of_role(run.input.datasets, "prompts", run.input.split, "evaluation", risks=options["risks"])
    held_out = at_most(held_out.drop_duplicates("prompt_id"), options["fresh_prompts"])
    followed = tqdm([*REFERENCES, *run.params.policies], desc="Following", unit="policy")
    likelihoods, fresh = zip(*(follower.read(policy, pool, held_out, options) for policy in followed), strict=True)
    run.note(policies=len(run.params.policies), pool_responses=len(pool), fresh_prompts=len(held_out))
    pd.concat(likelihoods, ignore_index=True).to_parquet(run.output.pool, index=False)
    pd.concat(fresh, ignore_index=True).to_parquet(run.output.fresh, index=False)
