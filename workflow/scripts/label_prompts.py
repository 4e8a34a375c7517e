"""Give the prompts of a pool their risk class (rule label_prompts)."""

from functools import partial

from trulysafe.common.schema import read_table, write_table
from trulysafe.config.load import load
from trulysafe.data.roles import at_most, rows_of_role
from trulysafe.label.agreement import agreement_interval
from trulysafe.label.labelling import label, open_client
from trulysafe.pairs.build import class_counts
from trulysafe.plan.bounds import refuse_too_many
from trulysafe.plan.plan import Plan
from trulysafe.workflow.job import job

with job(snakemake) as run:
    prompts = rows_of_role(run.input.datasets, "prompts", run.input.split, "pairs").drop_duplicates("prompt_id")
    prompts = at_most(prompts, run.params.rows)
    # how fast a model is asked and what mixes ask are no parameters: they must label nothing anew
    plan = Plan(load(snakemake.config))
    client = open_client(run.params.kind, plan.label.llm_client(run.params.llm)) if run.params.llm else None
    if run.input.labeller:
        known = prompts["risk"] != ""
        labelled = label(prompts.assign(risk=""), run.input.labeller[0], client)
        first, second = prompts.loc[known, "risk"].tolist(), labelled.loc[known, "risk"].tolist()
        run.note(agreement_with_known=agreement_interval(first, second, prompts.loc[known, "family"].tolist()))
        prompts = labelled
    elif run.params.kind:
        prompts = label(prompts)
    if client is not None:
        run.note(llm=client.counts)
    run.note(prompts=class_counts(prompts))
    refuse_too_many(plan, run.wildcards.pool, prompts, partial(read_table, kind="pairs"))
    write_table(prompts, run.output.prompts, "prompts")
