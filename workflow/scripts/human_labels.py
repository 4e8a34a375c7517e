"""Labelled responses to prompts that no judge was fitted on (rule human_labels)."""

from trulysafe.common.schema import write_table
from trulysafe.evaluate.people import labelled_responses
from trulysafe.workflow.job import job

with job(snakemake) as run:
    responses = labelled_responses(split=run.input.split, **run.params.people)
    run.note(labels=responses["label"].value_counts().sort_index().to_dict())
    write_table(responses, run.output.responses, "responses")
