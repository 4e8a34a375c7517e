"""Wall time per rule, from Snakemake's benchmark files (rule wall_time)."""

from pathlib import Path

import pandas as pd

from trulysafe.report.cost import COST_CAPTION, cost_rows, cost_text, ratio_caption, ratio_rows, read_costs
from trulysafe.report.figures import wall_time
from trulysafe.report.round_cost import (
    ROUND_COST_CAPTION,
    pair_job_rows,
    read_work,
    whole_ratios,
    whole_rows,
    whole_text,
)
from trulysafe.report.tables import time_rows, write_tables
from trulysafe.schema import read_table
from trulysafe.workflow import job, manifest_path

with job(snakemake) as run:
    root = Path(run.params.timings)
    times = pd.DataFrame(
        [
            {
                "rule": path.relative_to(root).parts[0].removesuffix(".tsv"),
                "seconds": pd.read_csv(path, sep="\t")["s"].iloc[0],
            }
            for path in sorted(root.rglob("*.tsv"))
        ]
    )
    run.output.cost.mkdir()
    time_rows(times).to_csv(run.output.cost / "per_rule.csv", index=False)
    wall_time(times, run.output.cost / "wall_time")
    costs = read_costs(run.input.policies)
    if len(costs):
        rows = cost_rows(costs, read_table(run.input.metrics, "metrics"), run.params.arms)
        ratios = ratio_rows(rows)
        caption = COST_CAPTION + ratio_caption(ratios, run.params.arms)
        write_tables(run.output.cost / "training", cost_text(rows, run.params.arms), rows, caption, "tab:training_cost")
        ratios.to_csv(run.output.cost / "overhead_ratios.csv", index=False)
        work = read_work(run.params.work, manifest_path)
        whole = whole_rows(costs, work, read_table(run.input.metrics, "metrics"), run.params.arms)
        if len(whole):
            text = whole_text(whole, run.params.arms)
            write_tables(run.output.cost / "whole_trainings", text, whole, ROUND_COST_CAPTION, "tab:whole_trainings")
            whole_ratios(whole).to_csv(run.output.cost / "whole_ratios.csv", index=False)
            pair_job_rows(work).to_csv(run.output.cost / "pair_jobs.csv", index=False)
