"""How the frozen reward ranks held-out pairs by a policy's states (rule reward_on_policy)."""

import json
from pathlib import Path

from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.models.representations import extract
from trulysafe.pairs.build import annotated_pairs
from trulysafe.reward.evaluate import evaluate_reward
from trulysafe.reward.model import HybridReward
from trulysafe.reward.states import ENDPOINT, held_out_pairs
from trulysafe.workflow.job import job

with job(snakemake) as run:
    options = run.params.options
    pairs, _ = annotated_pairs(run.input.datasets, run.input.split, "reward", options["rows"])
    pairs = pairs[pairs["pair_id"].isin(held_out_pairs(run.input.reward))]
    reward = HybridReward.from_pretrained(f"{run.input.reward}/{ENDPOINT}", run.params.identity)
    tokenizer = load_tokenizer(run.params.model)
    model = load_model(run.params.model)
    safe, unsafe = (
        extract(
            model,
            tokenizer,
            list(zip(pairs["prompt"], pairs[side], strict=True)),
            options["pooling"],
            run.params.batch_size,
        )
        for side in ("chosen", "rejected")
    )
    metrics = evaluate_reward(reward, safe, unsafe, pairs["risk"].tolist())
    run.note(**metrics)
    Path(run.output.metrics).write_text(json.dumps(metrics, indent=1, sort_keys=True), encoding="utf-8")
