"""Every figure of the report (rule draw_figures)."""

from pathlib import Path

import pandas as pd

from trulysafe.common.schema import read_table
from trulysafe.report.build import build_figures
from trulysafe.report.kept_token_rows import read_kept_tokens
from trulysafe.report.layer_figures import LayerTables
from trulysafe.workflow.job import job

with job(snakemake) as run:
    logs = [pd.read_csv(Path(folder) / "log.csv") for folder in run.input.policies]
    tables = zip(run.input.accuracy, run.input.components, run.input.divergence, strict=True)
    build_figures(
        run.output.figures,
        metrics=read_table(run.input.metrics, "metrics"),
        arms=run.params.arms,
        sweeps=run.params.sweeps,
        log=pd.concat(logs, ignore_index=True) if logs else None,
        kept_tokens=read_kept_tokens(run.input.kept_tokens[0]) if run.input.kept_tokens else None,
        drift=pd.read_csv(run.input.drift[0]) if run.input.drift else None,
        layers={Path(paths[0]).parent.name: LayerTables(*map(pd.read_csv, paths)) for paths in tables},
    )
