"""Order beside distribution, over seeds (rule order_and_distribution)."""

import pandas as pd

from trulysafe.drift.measures import drift_rows
from trulysafe.workflow.job import job

with job(snakemake) as run:
    pool, fresh = (
        pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
        for paths in (run.input.pool, run.input.fresh)
    )
    fresh = fresh.drop_duplicates(
        ["experiment", "seed", "step", "prompt_id", "sample"]
    )  # every job samples the reference
    drift_rows(pool, fresh).to_csv(run.output.table, index=False)
