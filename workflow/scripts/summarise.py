"""The run on one page (rule summarise)."""

from pathlib import Path

import pandas as pd

from trulysafe.common.schema import read_table
from trulysafe.report.facts import measured_facts
from trulysafe.report.summary import summary
from trulysafe.workflow.job import job
from trulysafe.workflow.provenance import read_notes

with job(snakemake) as run:
    facts = measured_facts(
        rewards={
            **{Path(path).parent.name: path for path in run.input.rewards},
            **{f"{Path(path).parts[-3]} on states of {Path(path).stem}": path for path in run.input.later},
        },
        labellers={Path(path).name: f"{path}/metrics.json" for path in run.input.labellers},
        judges={Path(path).name: f"{path}/metrics.json" for path in run.input.judges},
        pairs={Path(path).stem: read_notes(path) for path in run.input.pairs},
    )
    text = summary(
        f"Scenario {run.params.scenario}",
        read_table(run.input.metrics, "metrics"),
        run.params.arms,
        contrasts=pd.read_csv(run.input.contrasts),
        matched=pd.read_csv(run.input.matched),
        facts=facts,
    )
    Path(run.output.summary).write_text(text, encoding="utf-8")
