"""Fit a judge and measure it on held-out responses (rule fit_judge)."""

from trulysafe.data.roles import select
from trulysafe.judges.registry import fit
from trulysafe.workflow.job import job

with job(snakemake) as run:
    labelled = select(run.input.datasets, "responses", run.input.split, "judge")
    run.note(**fit(run.params.kind, labelled, run.output.judge, run.params.options))
