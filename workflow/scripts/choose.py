"""What one job's policies choose or write in one benchmark task, or in those that share a job, one shard of it (rule
choose)."""

from importlib import metadata

import pandas as pd
from tqdm import tqdm

from trulysafe.common.schema import write_table
from trulysafe.evaluate.answers import blocks_to_answer, shard_of
from trulysafe.evaluate.choosing import choices, with_costs
from trulysafe.workflow.job import job

with job(snakemake) as run:
    given = run.params
    work = blocks_to_answer(given.policies, with_costs(given.benchmarks), run.input.split, given.block)
    work = shard_of(work, int(run.wildcards.shard), int(run.wildcards.shards))
    done = choices(given.policies, work, given.benchmarks, run.input.split, given.batch, run.note)
    done = list(tqdm(done, total=len(work), desc="Choosing", unit="block", mininterval=5))
    table = pd.concat([block.verdicts for block in done], ignore_index=True)
    answers = pd.concat([block.answers for block in done], ignore_index=True)
    run.note(
        harness=metadata.version("lm_eval"),
        documents=len(answers),
        verdicts=len(table),
        right=int(table["correct"].sum()),
        cut_off=int(answers["cut_off"].sum()),
    )
    write_table(table, run.output.verdicts, "verdicts")
    write_table(answers, run.output.answers, "task_answers")
