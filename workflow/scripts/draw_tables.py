"""Every table of the report (rule draw_tables)."""

from pathlib import Path

import pandas as pd

from trulysafe.common.schema import read_table
from trulysafe.report.build import build_tables
from trulysafe.report.kept_token_rows import read_kept_tokens
from trulysafe.workflow.job import job
from trulysafe.workflow.provenance import read_notes

with job(snakemake) as run:
    logs = [pd.read_csv(Path(folder) / "log.csv") for folder in run.input.policies]
    build_tables(
        run.output.tables,
        metrics=read_table(run.input.metrics, "metrics"),
        arms=run.params.arms,
        contrasts=pd.read_csv(run.input.contrasts),
        matched=pd.read_csv(run.input.matched),
        judges=pd.read_csv(run.input.judges),
        published=run.params.published,
        drift=pd.read_csv(run.input.drift[0]) if run.input.drift else None,
        divergence={Path(path).parent.name: pd.read_csv(path) for path in run.input.divergence},
        labellers={Path(path).name: path for path in run.input.labellers},
        labelled_pools={
            pool: (labeller, read_notes(path).get("agreement_with_known", {}))
            for (pool, labeller), path in zip(run.params.labelled_pools.items(), run.input.labelled, strict=True)
        },
        ablations=pd.read_csv(run.input.ablations[0]) if run.input.ablations else None,
        log=pd.concat(logs, ignore_index=True) if logs else None,
        reward_ablations=pd.read_csv(run.input.reward_ablations[0]) if run.input.reward_ablations else None,
        kept_tokens=read_kept_tokens(run.input.kept_tokens[0]) if run.input.kept_tokens else None,
    )
