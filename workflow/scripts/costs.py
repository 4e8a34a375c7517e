"""Wall time per rule, what pairs cost, and the page of the run (rule costs)."""

from trulysafe.report.cost_pages import write_costs
from trulysafe.report.page import page
from trulysafe.report.run import Run
from trulysafe.report.table import write_text
from trulysafe.workflow.job import job

with job(snakemake) as run:
    measured, params = Run(run.input, run.params), run.params
    write_costs(run.output.cost, measured, params.timings, params.work)
    text = page(params.scenario, measured, params.about, params.timings, made_from=run.input, figures=run.input.figures)
    write_text(run.output.page, text)
