"""Wall time per rule, and what pairs cost (rule costs)."""

from trulysafe.report.cost_pages import write_costs
from trulysafe.report.run import Run
from trulysafe.workflow.job import job

with job(snakemake) as run:
    write_costs(run.output.cost, Run(run.input, run.params), run.params.timings, run.params.work)
