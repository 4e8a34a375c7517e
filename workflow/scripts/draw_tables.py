"""Every table of the report (rule draw_tables)."""

from trulysafe.report.listed import write_tables
from trulysafe.report.run import Run
from trulysafe.workflow.job import job

with job(snakemake) as run:
    write_tables(run.output.tables, Run(run.input, run.params))
