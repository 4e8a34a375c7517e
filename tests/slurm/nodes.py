"""Train the run of the folder ``two`` (rule train)."""

from datasets import load_from_disk

from trulysafe.train.jobs import train_run
from trulysafe.train.run import read_run
from trulysafe.workflow.job import job

with job(snakemake) as run:
    train_run(read_run("two"), lambda: load_from_disk("data")).to_csv(run.outputs[0], index=False)
