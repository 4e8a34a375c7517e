"""The refusal direction of a model after one layer (rule fit_direction)."""

from trulysafe.data.roles import at_most, rows_of_role
from trulysafe.evaluate.acting import write_direction
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.workflow.job import job

with job(snakemake) as run:
    options, prompts = run.params.options, {}
    for side in ("harmful", "harmless"):
        read = rows_of_role(run.input[side], "prompts", run.input.split, "pairs").drop_duplicates("prompt_id")
        prompts[side] = at_most(read, options["rows"])["prompt"].tolist()
    model, tokenizer = load_model(run.params.model), load_tokenizer(run.params.model)
    how = options["layer"], run.params.batch_size, run.output.direction
    length = write_direction(model, tokenizer, prompts, *how)
    run.note(length=length, **{side: len(found) for side, found in prompts.items()})
