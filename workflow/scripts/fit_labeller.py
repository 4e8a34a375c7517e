"""Fit a risk labeller, or test one that asks a language model (rule fit_labeller)."""

import pandas as pd

from trulysafe.data.roles import rows_of_role
from trulysafe.label.labellers import fit
from trulysafe.llm.opening import open_client
from trulysafe.workflow.job import job

with job(snakemake) as run:
    labelled = pd.DataFrame()
    if run.input.datasets:
        labelled = rows_of_role(run.input.datasets, "prompts", run.input.split, "labeller")
    client = open_client(snakemake.config, run.params.llm["name"]) if run.params.llm else None
    run.note(**fit(labelled, run.output.labeller, run.params.options, run.params.kind, client))
    if client is not None:
        run.note(llm=client.counts)
