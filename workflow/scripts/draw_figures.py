"""Every figure of the report (rule draw_figures)."""

from trulysafe.report.listed import write_figures
from trulysafe.report.run import Run
from trulysafe.workflow.job import job

with job(snakemake) as run:
    write_figures(run.output.figures, Run(run.input, run.params))
