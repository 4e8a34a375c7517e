"""Fit the hybrid reward and measure it on held-out prompts (rule fit_reward)."""

import json
from pathlib import Path

from trulysafe.common.state_store import load_states
from trulysafe.reward.stage import fit_stage
from trulysafe.workflow.job import job

with job(snakemake) as run:
    arrays, index = load_states(run.input.states)
    metrics, accuracies = fit_stage(arrays, index, run.params.options, run.params.identity, Path(run.output.reward))
    Path(run.output.metrics).write_text(json.dumps(metrics, indent=1, sort_keys=True), encoding="utf-8")
    accuracies.to_csv(run.output.accuracy, index=False)
    run.note(**metrics)
