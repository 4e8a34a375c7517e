"""Verdicts of one judge, or of those that share a job, on one shard of answers (rule judge)."""

import pandas as pd

from trulysafe.common.schema import SCHEMAS, read_table, write_table
from trulysafe.config.load import load
from trulysafe.evaluate.judging import judged, open_clients
from trulysafe.plan.plan import Plan
from trulysafe.workflow.job import job

with job(snakemake) as run:
    answers = read_table(run.input.answers, "answers")
    verdicts = [pd.DataFrame(columns=list(SCHEMAS["verdicts"]))] if answers.empty else []
    # how fast a language model is asked is no parameter: it must judge nothing anew
    clients = open_clients(run.params.judges, Plan(load(snakemake.config)).label.llm_client)
    for name, judge in run.params.judges.items():
        rows = answers[answers["benchmark"].isin(run.params.asked[name])]
        if len(rows):
            found = judged(rows, judge, rows["benchmark"].map(run.params.cut_off), clients, run.threads)
            verdicts.append(rows.join(found).assign(judge=name))
    if clients:
        run.note(llms={name: client.counts for name, client in clients.items()})
    write_table(pd.concat(verdicts, ignore_index=True), run.output.verdicts, "verdicts")
