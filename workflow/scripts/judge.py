"""Verdicts of one judge, or of those that share a job, on one shard of answers (rule judge)."""

import pandas as pd

from trulysafe.common.schema import SCHEMAS, read_table, write_table
from trulysafe.evaluate.judging import judged
from trulysafe.workflow.job import job

with job(snakemake) as run:
    answers = read_table(run.input.answers, "answers")
    verdicts = [pd.DataFrame(columns=list(SCHEMAS["verdicts"]))] if answers.empty else []
    for name, judge in run.params.judges.items():
        rows = answers[answers["benchmark"].isin(run.params.asked[name])]
        if len(rows):
            found = judged(rows, judge, rows["benchmark"].map(run.params.cut_off), run.threads)
            verdicts.append(rows.join(found).assign(judge=name))
    write_table(pd.concat(verdicts, ignore_index=True), run.output.verdicts, "verdicts")
