"""Wall time per rule, and what pairs cost (rule costs)."""

from trulysafe.common.schema import read_table
from trulysafe.report.cost_pages import write_costs
from trulysafe.workflow.job import job

with job(snakemake) as run:
    write_costs(
        run.output.cost,
        timings=run.params.timings,
        policies=run.input.policies,
        planned=run.params.work,
        metrics=read_table(run.input.metrics, "metrics"),
        arms=run.params.arms,
    )
