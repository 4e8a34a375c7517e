"""Check the tables as used for leakage between stages (rule leakage)."""

import json
from pathlib import Path

import pandas as pd

from trulysafe.common.schema import read_table
from trulysafe.data.leakage import check, rows_of_stages
from trulysafe.workflow.job import job

with job(snakemake) as run:
    used = rows_of_stages(run.input.datasets, run.input.split, run.params.used_as)
    prompts = [read_table(path, "pairs") for path in run.input.pairs]
    prompts += [read_table(path, "prompts") for path in run.input.pools]  # pairs of later rounds are made of these
    if prompts:
        used["pairs"] = pd.concat(prompts, ignore_index=True)
    report = check(used, threshold=run.params.threshold)
    Path(run.output.report).write_text(json.dumps(report, indent=1, sort_keys=True), encoding="utf-8")
