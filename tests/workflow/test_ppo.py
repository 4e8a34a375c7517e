"""PPO, its mask and its critic through the whole workflow."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.test_sequence_reward import save
from tests.workflow.project import SMALL, Project
from trulysafe.models.load import load_token_classifier

PPO = SMALL.with_name("ppo.yaml")


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_ppo_with_and_without_its_mask_is_measured(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    save(project.folder / "scorer")
    targets = ("policies", "results/ppo/metrics/metrics.parquet")
    project.snakemake("--configfile", str(SMALL), str(PPO), "--", *targets, seconds=1800)
    results = project.folder / "results" / "ppo"

    log = pd.concat([pd.read_csv(path) for path in results.glob("policies/*/log.csv")])
    values = log[log["step"] == 1].set_index(["experiment", "name"])["value"]
    for arm in ("ppo", "ama_ppo", "lagrangian", "scored"):
        assert values[arm, "count/generated_tokens"] > 0
        assert 0 < values[arm, "ppo/finished"] <= 1
    assert values["ppo", "mask/kept_share"] == 1 > values["ama_ppo", "mask/kept_share"]
    assert values["lagrangian", "ppo/multiplier"] > 1  # no tiny model is as safe as the threshold asks
    assert values["lagrangian", "ppo/cost"] > -20
    assert values["scored", "ppo/reward"] != values["ppo", "ppo/reward"]
    assert values["ppo", "count/generated_tokens"] == values["ama_ppo", "count/generated_tokens"]

    (critic,) = results.glob("policies/*/ama_ppo/seed0/critic")
    assert load_token_classifier({"source": str(critic)}, labels=1).num_labels == 1
    assert json.loads((results / "token_rewards" / "critic" / "metrics.json").read_text(encoding="utf-8"))["all"]["n"]
    rows = pd.read_parquet(results / "metrics" / "metrics.parquet")
    assert {"base", "dpo", "ppo", "ama_ppo", "ama_critic", "lagrangian", "scored"} == set(rows["experiment"])
    spent = json.loads((critic.parent / "cost.json").read_text(encoding="utf-8"))["tokens"]
    assert spent["critic"] == spent["step"] > 0
    again = project.snakemake("--dry-run", "--configfile", str(SMALL), str(PPO), "--", *targets)
    assert "Nothing to be done" in again
