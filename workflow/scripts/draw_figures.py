"""Every figure of the report (rule draw_figures)."""

from pathlib import Path

import pandas as pd

from trulysafe.kept_tokens import read_kept_tokens
from trulysafe.report.build import build_figures
from trulysafe.schema import read_table
from trulysafe.workflow import job

with job(snakemake) as run:
    logs = [pd.read_csv(Path(folder) / "log.csv") for folder in run.input.policies]
    layers = {
        name: pd.read_csv(paths[0])
        for name in ("accuracy", "components", "divergence")
        if (paths := run.input.get(name))
    }
    if "accuracy" in layers:
        layers["accuracy"] = layers["accuracy"].fillna({"risk": "not labelled"})
    build_figures(
        run.output.figures,
        metrics=read_table(run.input.metrics, "metrics"),
        arms=run.params.arms,
        sweeps=run.params.sweeps,
        log=pd.concat(logs, ignore_index=True) if logs else None,
        kept_tokens=read_kept_tokens(run.input.kept_tokens[0]) if run.input.kept_tokens else None,
        drift=pd.read_csv(run.input.drift[0]) if run.input.drift else None,
        **layers,
    )
