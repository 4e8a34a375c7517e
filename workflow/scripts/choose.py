"""Choices of one job's policies in the documents of one task, or of those that share a job, one shard (rule choose)."""

import pandas as pd
from tqdm import tqdm

from trulysafe.common.schema import write_table
from trulysafe.evaluate.answers import blocks_to_answer, shard_of
from trulysafe.evaluate.choosing import choices
from trulysafe.workflow.job import job

with job(snakemake) as run:
    given = run.params
    work = blocks_to_answer(given.policies, given.benchmarks, run.input.split, given.block)
    work = shard_of(work, int(run.wildcards.shard), int(run.wildcards.shards))
    chosen = choices(given.policies, work, given.benchmarks, run.input.split, given.batch)
    chosen = tqdm(chosen, total=len(work), desc="Choosing", unit="block", mininterval=5)
    table = pd.concat(list(chosen), ignore_index=True)
    run.note(choices=len(table), right=int(table["correct"].sum()))
    write_table(table, run.output.verdicts, "verdicts")
