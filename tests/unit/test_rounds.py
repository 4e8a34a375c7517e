"""Rounds of re-ranking: which policy each component builds on, which job trains it, and clear errors for circles and
wrong names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from trulysafe.common.errors import UserError
from trulysafe.config.load import load
from trulysafe.config.order import rounds
from trulysafe.plan.plan import Plan

WORKFLOW = Path(__file__).resolve().parents[1] / "workflow"


def merged(**changes: dict[str, Any]) -> dict[str, Any]:
    """The small configuration with its further rounds, and changes by table."""
    raw = yaml.safe_load((WORKFLOW / "small.yaml").read_text(encoding="utf-8"))
    for layer in (yaml.safe_load((WORKFLOW / "rounds.yaml").read_text(encoding="utf-8")), changes):
        for table, entries in layer.items():
            raw[table] = {**raw.get(table, {}), **entries} if isinstance(entries, dict) else entries
    return raw


def changed(table: str, name: str, **keys: Any) -> dict[str, Any]:
    raw = merged()
    raw[table][name] |= keys
    return raw


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(load(merged()))


def test_rounds_follow_the_policies_that_experiments_build_on(plan):
    found = rounds(plan.config)
    assert found == {
        "base": 1, "dpo": 1, "confidence": 1, "ama": 1, "online": 1, "online_oracle": 1, "round2": 2,
        "round2_confidence": 2, "round3": 3,
    }  # fmt: skip


def test_a_job_never_trains_two_rounds(plan):
    found = rounds(plan.config)
    assert all(len({found[name] for name, _ in runs}) == 1 for runs in plan.policies.trained.values())
    assert set(plan.policies.trained) == {
        "tiny.dpo-0", "tiny.dpo-round2-0", "tiny.dpo-round3-0", "tiny.confidence_dpo-0", "tiny.confidence_dpo-round2-0",
        "tiny.ama_dpo-0", "tiny.online_dpo-0", "tiny.online_oracle-0",
    }  # fmt: skip


def test_arms_are_shown_with_what_they_start_from(plan):
    first = dict.fromkeys(("dpo", "confidence", "ama", "online", "online_oracle"), "base")
    assert plan.policies.starts == {**first, "round2": "dpo", "round3": "round2"}  # round2_confidence starts half-way
    assert set(plan.policies.bases.values()) == {"base"}
    assert next(iter(plan.report.arms)) == "base"
    assert plan.report.arms["round3"].items() >= {"base": "base", "start": "round2"}.items()
    assert "base" not in plan.report.arms["base"]


def test_a_run_starts_from_the_policy_and_is_held_against_it(plan):
    (run,) = plan.train.runs("tiny.dpo-round3-0")
    policy = "results/rounds/policies/tiny.dpo-round2-0/round2/seed0/step2"
    assert run["model"] == {"source": policy, "dtype": "float32"}
    assert run["reference"][0] == "results/rounds/reference/round2-seed0-step2/round3.parquet"
    assert plan.train.inputs("tiny.dpo-round3-0")["model"] == ["results/rounds/policies/tiny.dpo-round2-0"]


def test_rewards_of_the_pairs_are_read_from_the_start_too(plan):
    (run,) = plan.train.runs("tiny.confidence_dpo-round2-0")
    assert run["model"]["source"].endswith("tiny.dpo-0/dpo/seed1/step1")
    assert run["rewards"][0] == "results/rounds/reference/dpo-seed1-step1/hybrid/round2.parquet"


def test_pairs_of_a_later_round_rank_by_the_states_of_the_named_snapshot(plan):
    assert plan.pairs.rerank_inputs("round3")["states"][0].startswith(
        "results/rounds/pools/harmful/policy_states/round2-seed0-step1/eos/"
    )
    assert plan.pairs.rerank_inputs("reranked")["states"][0].startswith("results/rounds/pools/harmful/states/eos/")


def test_each_seed_starts_from_its_own_seed_by_default():
    plan = Plan(load(changed("experiments", "round2", seeds=2)))
    sources = [run["model"]["source"] for run in plan.train.runs("tiny.dpo-round2-0")]
    assert [source.split("/")[-2] for source in sources] == ["seed0", "seed1"]


def test_the_leakage_check_does_not_wait_for_later_rounds(plan):
    assert plan.pairs.first_round == ["reranked", "harmless"]
    assert plan.pairs.later_pools == ["results/rounds/pools/harmful/prompts.parquet"]


def test_without_later_rounds_nothing_is_named():
    plain = Plan(load(yaml.safe_load((WORKFLOW / "small.yaml").read_text(encoding="utf-8"))))
    assert not plain.policies.named
    assert not plain.reward.on_policies
    assert not plain.pairs.later_pools


def placebo_of_round2() -> dict[str, Any]:
    return merged(
        methods={"placebo": {"confidence": {"kind": "fixed"}, "gamma_of": "round2_confidence"}},
        experiments={"placebo": {"model": "tiny", "mix": "random", "method": "placebo"}},
    )


def test_what_a_method_reads_is_of_no_later_round():
    config = load(placebo_of_round2())
    assert rounds(config)["placebo"] == 2
    plan = Plan(config)
    assert plan.train.inputs("tiny.placebo-round2-0")["gamma_of"] == [
        "results/rounds/policies/tiny.confidence_dpo-round2-0"
    ]


def test_a_group_keeps_the_rounds_that_it_builds_on():
    raw = merged()
    raw["experiments"]["round3"]["group"] = "last"
    config = load(raw | {"groups": ["last"], "report": {}})
    assert set(config.experiments) == {"base", "dpo", "round2", "round3"}
    assert set(config.pairs) == {"reranked", "harmless", "round2", "round3"}
    assert config.drift is not None
    assert config.drift.experiments == ["dpo", "round2"]


def test_launch_is_no_option_of_a_run_and_policies_have_the_size_of_their_model(plan):
    runs = [run for batch in plan.policies.trained for run in plan.train.runs(batch)]
    assert not {"engine", "processes", "checkpoint_steps"} & {key for run in runs for key in run["training"]}
    assert {plan.models.size(name) for name in plan.policies.named} == {"tiny"}


WRONG = {
    "a circle through a placebo": (
        placebo_of_round2()
        | {
            "experiments": placebo_of_round2()["experiments"]
            | {"dpo": {"model": "tiny", "mix": "random", "method": "placebo"}}
        },
        ["circle", "dpo", "round2_confidence"],
    ),
    "online pairs in several processes": (
        changed("experiments", "online", training={"engine": "ddp", "processes": 2}),
        ["experiments.online", "training.engine is 'ddp'", "engine single"],
    ),
    "a circle": (
        changed("experiments", "dpo", start_from={"experiment": "round3"}),
        ["circle", "dpo", "round2", "round3", " -> "],
    ),
    "a circle through pairs": (
        changed("pairs", "reranked", states_from={"experiment": "dpo"}),
        ["circle", "dpo -> dpo", "states_from"],
    ),
    "an unknown experiment": (
        changed("experiments", "round2", start_from={"experiment": "dop"}),
        ["experiments.round2.start_from.experiment", "Did you mean 'dpo'"],
    ),
    "a seed that is not trained": (
        changed("experiments", "round2", seeds=3),
        ["experiments.round2.start_from.seed: '2'", "Accepted: 0, 1"],
    ),
    "a step that is not kept": (
        changed("pairs", "round2", states_from={"experiment": "dpo", "step": 7}),
        ["pairs.round2.states_from.step: '7'", "Accepted: 1, 2", "snapshots"],
    ),
    "a policy that is none": (
        changed("pairs", "round2", states_from={"experiment": "base"}),
        ["pairs.round2.states_from.experiment", "'base' trains no policy"],
    ),
    "states for annotated pairs": (
        changed("pairs", "harmless", states_from={"experiment": "dpo"}),
        ["pairs.harmless.states_from", "only the source 'rerank'"],
    ),
    "a model alone that starts from a policy": (
        changed("experiments", "base", start_from={"experiment": "dpo"}),
        ["experiments.base.start_from", "trains nothing"],
    ),
    "a policy of another model": (
        merged(
            models={"other": {"source": "hub", "name": "some/model"}},
            experiments={
                "elsewhere": {
                    "model": "other",
                    "mix": "random",
                    "method": "dpo",
                    "start_from": {"experiment": "dpo"},
                }
            },
        ),
        ["experiments.elsewhere.start_from.experiment", "'tiny'", "'other'"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_references_are_refused_with_what_to_do(name):
    raw, expected = WRONG[name]
    with pytest.raises(UserError) as caught:
        load(raw)
    assert all(text in str(caught.value) for text in expected), caught.value
