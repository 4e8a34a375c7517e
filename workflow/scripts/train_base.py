"""Train a tiny model from scratch (rule train_base)."""

from trulysafe.data.roles import rows_of_role
from trulysafe.models.pretrain import train_base
from trulysafe.workflow.job import job

with job(snakemake) as run:
    corpus = rows_of_role(run.input.corpus, "responses", run.input.split, "corpus")
    run.note(**train_base(corpus, run.output.model, threads=run.threads, **run.params.options))
