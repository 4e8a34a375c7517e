"""Verdicts of every judge on one shard of the answers of one job (rule judge)."""

from pathlib import Path

import pandas as pd

from trulysafe.common.schema import SCHEMAS, read_table, write_table
from trulysafe.judges.registry import judged
from trulysafe.workflow.job import job

with job(snakemake) as run:
    answers = read_table(run.input.answers, "answers")
    verdicts = [pd.DataFrame(columns=list(SCHEMAS["verdicts"]))] if answers.empty else []
    for name, spec in run.params.judges.items():
        asked = [benchmark for benchmark, judges in run.params.benchmarks.items() if name in judges]
        rows = answers[answers["benchmark"].isin(asked)]
        if rows.empty:
            continue
        artefact = Path(spec["artefact"]) if spec["artefact"] else None
        verdicts.append(rows.join(judged(rows, spec["kind"], spec["options"], artefact)).assign(judge=name))
    write_table(pd.concat(verdicts, ignore_index=True), run.output.verdicts, "verdicts")
