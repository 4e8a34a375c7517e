"""Sources of token rewards and placebos: what is refused before any job, and what a training waits for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from trulysafe.common.errors import UserError
from trulysafe.config.load import load
from trulysafe.plan.plan import Plan

WORKFLOW = Path(__file__).parents[1] / "workflow"


def configuration() -> dict[str, Any]:
    """The smallest configuration with tests/workflow/methods.yaml laid over it."""
    raw, overlay = (
        yaml.safe_load((WORKFLOW / name).read_text(encoding="utf-8")) for name in ("small.yaml", "methods.yaml")
    )
    return raw | {key: {**raw.get(key, {}), **value} for key, value in overlay.items()}


def test_trainings_wait_for_what_they_read() -> None:
    plan = Plan(load(configuration()))
    implicit = plan.train.inputs("tiny.ama_implicit-0")
    assert implicit["token_rewards"] == "results/small/token_rewards/policy"
    assert implicit["token_values"] == [
        f"results/small/token_values/policy/{name}.parquet" for name in ("harmless", "reranked")
    ]
    assert "rewards" not in implicit
    assert plan.token_rewards.inputs("policy")["policy"] == "results/small/policies/tiny.dpo-0"
    assert plan.token_rewards.policy("policy")["source"] == "results/small/policies/tiny.dpo-0/dpo/seed0/step2"
    assert plan.token_rewards.policy("classifier") is None
    assert plan.train.inputs("tiny.placebo-0")["gamma_of"] == ["results/small/policies/tiny.confidence_dpo-0"]
    assert plan.train.method("tiny.ama_token_rm-0")["mask"]["token_rewards"] == "token_rm"
    assert plan.train.method("tiny.ama_dpo-0")["mask"]["token_rewards"] == "hybrid"


def test_a_named_judge_of_online_pairs_takes_the_rewards_place() -> None:
    raw = configuration()
    raw["datasets"]["judged"] = {"kind": "demo", "role": "judge", "options": {"part": "judged", "world": 0, "rows": 60}}
    raw["judges"]["fitted"] = {"kind": "classifier", "datasets": ["judged"]}
    raw["methods"] |= {name: {"online": {"samples": 4, "judge": name}} for name in ("oracle", "fitted")}
    raw["experiments"] |= {name: {"model": "tiny", "mix": "random", "method": name} for name in ("oracle", "fitted")}
    plan = Plan(load(raw))
    oracle, fitted = (plan.train.inputs(f"tiny.{name}-0") for name in ("oracle", "fitted"))
    assert oracle["texts"] == ["results/small/pairs/harmless.parquet", "results/small/pairs/reranked.parquet"]
    assert oracle["judge"] == []
    assert "reward" not in oracle
    assert fitted["judge"] == ["results/small/judges/fitted"]
    assert plan.train.judge("tiny.fitted-0") == {
        "kind": "classifier", "options": {}, "artefact": "results/small/judges/fitted",
    }  # fmt: skip
    assert plan.train.judge("tiny.dpo-0") is None


WRONG = {
    "a mask that names another kind": ("methods", "ama_implicit", "mask",
        {"rule": "hysteresis", "token_rewards": "hybrid"}, "kind 'hybrid'"),
    "an unknown source": ("methods", "ama_implicit", "token_rewards", "polcy", "Did you mean 'policy'"),
    "token rewards that nothing reads": ("methods", "ama_implicit", "mask", {}, "has no mask that would read them"),
    "a placebo that is not constant": ("methods", "placebo", "confidence", {"kind": "none"}, "only a constant gamma"),
    "a placebo of an experiment without gamma": ("methods", "placebo", "gamma_of", "dpo", "'dpo' logs no gamma"),
    "a placebo of nothing": ("methods", "placebo", "gamma_of", "confdence", "Did you mean 'confidence'"),
    "a policy that is not trained": ("token_rewards", "policy", "experiment", "base", "'base' must be trained"),
    "implicit without a policy": ("token_rewards", "policy", "experiment", None,
        "token_rewards.policy.experiment: missing"),
    "a classifier with a policy": ("token_rewards", "classifier", "experiment", "dpo",
        "token_rewards.classifier.experiment: only the kind 'critic' or 'implicit'"),
    "a fit of nothing": ("token_rewards", "policy", "fit", {"epochs": 1},
        "token_rewards.policy.fit: only the kind 'token_rm'"),
    "an unknown option of the fit": ("token_rewards", "classifier", "fit", {"epoch": 1}, "Did you mean 'epochs'"),
    "a training that waits for itself": ("token_rewards", "policy", "experiment", "ama_implicit",
        "waits for its own training"),
    "a judge of online pairs that is none": ("methods", "kto", "online", {"samples": 4, "judge": "orcale"},
        "Did you mean 'oracle'"),
    "a loss that needs one process": (
        "methods", "best_of_n", "training", {"engine": "ddp", "processes": 2}, "the loss 'aot' sorts the micro-batch",
    ),
    "a reward that pools": ("rewards", "hybrid", "pooling", "mean", "Name a reward with pooling: eos"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused(name: str) -> None:
    table, component, key, value, message = WRONG[name]
    raw = configuration()
    raw["methods"] |= {"kto": {}, "best_of_n": {"loss": "aot"}}
    raw[table] = {**raw[table], component: {**raw[table][component], key: value}}
    with pytest.raises(UserError) as caught:
        load(raw)
    assert message in str(caught.value)
