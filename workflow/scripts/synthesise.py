"""Write the prompts of a synthesised data set (rule synthesise)."""

import pandas as pd

from trulysafe.common.schema import read_table, write_table
from trulysafe.config.load import load
from trulysafe.llm.client import open_client
from trulysafe.plan.plan import Plan
from trulysafe.synthesis.synthesise import synthesise
from trulysafe.workflow.job import job

with job(snakemake) as run:
    seeds = pd.concat([read_table(path, "prompts") for path in run.input.seeds], ignore_index=True)
    asked = [pd.read_parquet(path, columns=["prompt"]) for path in run.input.evaluation]
    client = None
    if run.params.llm:  # where it is and how fast it is asked are no parameters: they rerun nothing
        client = open_client(**Plan(load(snakemake.config)).label.llm_client(run.params.llm["name"]))
    made = synthesise(
        run.params.kind,
        run.params.options,
        seeds,
        pd.concat(asked, ignore_index=True) if asked else pd.DataFrame({"prompt": []}),
        threshold=run.params.threshold,
        name=run.wildcards.dataset,
        client=client,
    )
    run.note(rows=len(made.frame), **made.report)
    if client is not None:
        run.note(llm=client.counts)
    write_table(made.frame, run.output.table, "prompts")
