"""Read one source into a table (rule normalise)."""

from trulysafe.common.schema import write_table
from trulysafe.data.read import read
from trulysafe.workflow.job import job

with job(snakemake) as run:
    loaded = read(run.params.kind, run.params.options, name=run.wildcards.dataset)
    run.note(rows=len(loaded.frame), report=loaded.report)
    write_table(loaded.frame, run.output.table, loaded.table_kind)
