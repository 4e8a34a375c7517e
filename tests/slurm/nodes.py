"""Train the run of the folder ``two`` (rule train)."""

from pathlib import Path

from datasets import load_from_disk

from trulysafe.train.jobs import train_run
from trulysafe.train.run import TrainingRun, stored
from trulysafe.workflow.job import job

with job(snakemake) as run:
    train_run(TrainingRun(**stored(Path("two"))), lambda: load_from_disk("data")).to_csv(run.outputs[0], index=False)
