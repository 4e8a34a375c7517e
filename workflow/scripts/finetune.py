"""Fine-tune a model to start from (rule finetune)."""

from pathlib import Path

from trulysafe.data.roles import rows_of_role
from trulysafe.models.finetune import finetune
from trulysafe.workflow.job import job

with job(snakemake) as run:
    corpus = rows_of_role(run.input.corpus, "responses", run.input.split, "corpus")
    made = finetune(
        run.params.model,
        corpus,
        run.output.model,
        checkpoints=run.scratch(Path(snakemake.output.model)) / run.provenance_id,
        **run.params.options,
    )
    run.note(**made)
