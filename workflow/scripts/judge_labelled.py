"""What one judge, or those that share a job, make of labelled responses (rule judge_labelled)."""

import pandas as pd

from trulysafe.common.schema import read_table, write_table
from trulysafe.config.load import load
from trulysafe.evaluate.judging import open_clients
from trulysafe.evaluate.people import judge_labelled
from trulysafe.plan.plan import Plan
from trulysafe.workflow.job import job

with job(snakemake) as run:
    responses = read_table(run.input.responses, "responses")
    clients = open_clients(run.params.judges, Plan(load(snakemake.config)).label.llm_client)
    given = {"clients": clients, "cores": run.threads}
    judged = [judge_labelled(responses, judge, **given).assign(judge=name) for name, judge in run.params.judges.items()]
    write_table(pd.concat(judged, ignore_index=True), run.output.verdicts, "judged_labels")
