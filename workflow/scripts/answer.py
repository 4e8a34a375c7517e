"""Answers of one job's policies to one benchmark, or to those that share a job, one shard of them (rule answer)."""

import pandas as pd
from tqdm import tqdm

from trulysafe.common.schema import write_table
from trulysafe.evaluate.acts import noted
from trulysafe.evaluate.answers import answers, blocks_to_answer, shard_of
from trulysafe.workflow.job import job

with job(snakemake) as run:
    work = blocks_to_answer(run.params.policies, run.params.benchmarks, run.input.split, run.params.block)
    work = shard_of(work, int(run.wildcards.shard), int(run.wildcards.shards))
    answered = tqdm(answers(run.params.policies, work), total=len(work), desc="Answering", unit="block", mininterval=5)
    table = pd.concat(list(answered), ignore_index=True)
    run.note(answers=len(table), finished=int(table["finished"].sum()), tokens=int(table["tokens"].sum()))
    run.note(**noted(run.params.policies, table))
    write_table(table, run.output.answers, "answers")
