"""Fit a risk labeller, or test one that asks a language model (rule fit_labeller)."""

import pandas as pd

from trulysafe.config.load import load
from trulysafe.data.roles import rows_of_role
from trulysafe.label.labelling import fit, open_client
from trulysafe.plan.plan import Plan
from trulysafe.workflow.job import job

with job(snakemake) as run:
    labelled = pd.DataFrame()
    if run.input.datasets:
        labelled = rows_of_role(run.input.datasets, "prompts", run.input.split, "labeller")
    kind, client = run.params.kind, None
    if run.params.llm:  # where it is and how fast it is asked are no parameters: they rerun nothing
        client = open_client(kind, Plan(load(snakemake.config)).label.llm_client(run.params.llm["name"]))
    run.note(**fit(labelled, run.output.labeller, run.params.options, kind, client))
    if client is not None:
        run.note(llm=client.counts)
