"""The passages of a corpus (rule gather_passages)."""

from trulysafe.common.schema import write_table
from trulysafe.evaluate.retrieval import gather
from trulysafe.workflow.job import job

with job(snakemake) as run:
    passages, withheld = gather(run.input.datasets, run.params.kinds, run.input.split)
    run.note(passages=len(passages), kept_for_evaluation=withheld)
    write_table(passages, run.output.passages, "passages")
