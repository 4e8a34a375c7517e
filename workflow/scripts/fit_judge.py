"""Fit a judge and measure it on held-out responses (rule fit_judge)."""

from trulysafe.data.roles import rows_of_role
from trulysafe.evaluate.judging import fit
from trulysafe.workflow.job import job

with job(snakemake) as run:
    labelled = rows_of_role(run.input.datasets, "responses", run.input.split, "judge")
    run.note(**fit(run.params.kind, labelled, run.output.judge, run.params.options, **run.params.model))
