"""Online DPO: fresh pairs are the policy's own, ranked by the frozen reward, and everything else stays as it is
offline."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from tests.unit.online_world import METHOD, ONLINE, PAIRS, dataset, judging_reward, policy, trainer
from trulysafe.common.errors import UserError
from trulysafe.methods.method import Method, Online
from trulysafe.methods.parts import Confidence, Mask
from trulysafe.models.scoring import token_logps
from trulysafe.models.tokens import Encoded, encode
from trulysafe.reward.read import endpoint_rewards, read_rewards
from trulysafe.trainers.online_pairs import OnlinePairs, RewardJudge
from trulysafe.trainers.step_cost import COST_FILE, flops_per_step
from trulysafe.trainers.step_log import Meter


@pytest.fixture
def model():
    return policy()


@pytest.fixture
def reward():
    return judging_reward()


def pairs_of(model, tokenizer, reward, options=ONLINE) -> OnlinePairs:
    meter = Meter()
    judge = RewardJudge(model, reward, tokenizer.pad_token_id, meter)
    return OnlinePairs(model, judge, tokenizer, options, meter)


def test_fresh_pairs_hold_finished_responses_best_above_worst(model, tokenizer, reward):
    online = pairs_of(model, tokenizer, reward)
    torch.manual_seed(0)
    rows, dropped = online.fresh(model, list(dataset(model, tokenizer)))
    fresh = rows[:-1]
    assert len(fresh) + dropped.total() == 2
    assert fresh
    for row in fresh:
        sides = [Encoded(row["prompt_ids"], row[f"{side}_ids"]) for side in ("chosen", "rejected")]
        assert all(item.response_ids[-1] == tokenizer.eos_token_id for item in sides)
        judged = endpoint_rewards(model, sides, tokenizer.pad_token_id, 2, reward)
        assert judged == pytest.approx([row["chosen_reward"], row["rejected_reward"]], abs=1e-4)
        assert judged[0] > judged[1]
        logps = token_logps(model, sides, tokenizer.pad_token_id, 2)
        assert row["chosen_ref_token_logps"] == pytest.approx(logps[0], abs=1e-4)
        assert row["rejected_ref_token_logps"] == pytest.approx(logps[1], abs=1e-4)


def test_the_best_and_the_worst_of_all_samples_make_the_pair(model, tokenizer, reward):
    """Sampling again with the same seed gives the same responses; no other one is judged higher or lower."""
    online = pairs_of(model, tokenizer, reward)
    examples = list(dataset(model, tokenizer))[:2]
    torch.manual_seed(0)
    rows, _ = online.fresh(model, examples)
    torch.manual_seed(0)
    sampled = online._sample(model, [example["prompt_ids"] for example in examples])
    for group in sampled:
        judged = endpoint_rewards(model, group, tokenizer.pad_token_id, 8, reward)
        row = next(row for row in rows if row["prompt_ids"] == group[0].prompt_ids)
        assert row["chosen_reward"] == pytest.approx(max(judged), abs=1e-4)
        assert row["rejected_reward"] == pytest.approx(min(judged), abs=1e-4)


def test_pairs_out_of_scope_stay_as_they_are(model, tokenizer, reward):
    data = list(dataset(model, tokenizer))
    assert pairs_of(model, tokenizer, reward).fresh(model, data)[0][-1] == data[-1]
    harmless = list(dataset(model, tokenizer, in_scope=(False, False, False)))
    online = pairs_of(model, tokenizer, reward)
    assert online.fresh(model, harmless) == (harmless, {})
    assert not online.meter.tokens


def test_prompts_without_a_pair_are_dropped_and_counted(model, tokenizer, reward):
    data = list(dataset(model, tokenizer))
    cut = pairs_of(model, tokenizer, reward, Online(samples=4, max_new_tokens=1))
    assert cut.fresh(model, data) == (data[-1:], {"no finished response": 2})
    wide = pairs_of(model, tokenizer, reward, Online(samples=6, max_new_tokens=40, min_gap=1e6))
    assert wide.fresh(model, data) == (data[-1:], {"gap": 2})


def test_endpoint_rewards_are_those_of_the_pair_tables(model, tokenizer, reward):
    encoded = [encode(tokenizer, prompt, text) for prompt, text, _ in PAIRS]
    table = read_rewards(model, encoded, tokenizer.pad_token_id, 2, reward, reward)
    found = endpoint_rewards(model, encoded, tokenizer.pad_token_id, 3, reward)
    assert found == pytest.approx([item.endpoint for item in table], abs=1e-5)


def test_training_moves_the_policy_and_neither_reference_nor_judge(model, tokenizer, reward, tmp_path):
    before, judge = copy.deepcopy(model), copy.deepcopy(reward)
    made = trainer(model, tokenizer, reward, tmp_path)
    made.train()
    moved = [not torch.equal(a, b) for a, b in zip(made.model.parameters(), before.parameters(), strict=True)]
    assert all(moved)
    online = made._online
    assert all(torch.equal(a, b) for a, b in zip(online.reference.parameters(), before.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(online.judge.reward.parameters(), judge.parameters(), strict=True))
    logged = [entry for entry in made.state.log_history if "loss" in entry]
    assert len(logged) == 3
    assert all(0 <= entry["online/pairs"] <= 1 for entry in logged)
    assert logged[0]["loss"] == pytest.approx(0.6931, abs=1e-3)  # policy and reference are still one


def test_a_batch_without_a_fresh_pair_does_not_fall_back_on_the_given_ones(model, tokenizer, reward, tmp_path):
    before = copy.deepcopy(model)
    method = Method(online=Online(samples=2, max_new_tokens=1))  # no response has room for its end of turn
    made = trainer(
        model,
        tokenizer,
        reward,
        tmp_path,
        method,
        train_dataset=dataset(model, tokenizer, in_scope=[True] * len(PAIRS)),
    )
    made.train()
    logged = [entry for entry in made.state.log_history if "loss" in entry]
    assert [entry["online/pairs"] for entry in logged] == [0.0] * 3
    assert [entry["loss"] for entry in logged] == [0.0] * 3
    assert all(torch.equal(a, b) for a, b in zip(made.model.parameters(), before.parameters(), strict=True))


def test_the_same_seed_gives_the_same_policy(model, tokenizer, reward, tmp_path):
    runs = [trainer(copy.deepcopy(model), tokenizer, reward, tmp_path / str(number)) for number in range(2)]
    for run in runs:
        run.train()
    first, second = (list(run.model.parameters()) for run in runs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_with_the_policys_own_confidence_the_judge_stays_frozen(model, tokenizer, reward, tmp_path):
    judge = copy.deepcopy(reward)
    method = Method(online=ONLINE, confidence=Confidence(kind="label", calibrate_every=0))
    made = trainer(model, tokenizer, reward, tmp_path, method)
    made.train()
    assert all(
        torch.equal(a, b) for a, b in zip(made._online.judge.reward.parameters(), judge.parameters(), strict=True)
    )
    assert any(not torch.equal(a, b) for a, b in zip(made.reward.reward.parameters(), judge.parameters(), strict=True))


def test_the_meter_counts_work_by_kind(model, tokenizer, reward, tmp_path):
    made = trainer(model, tokenizer, reward, tmp_path)
    made.train()
    made.meter.save(tmp_path, made.model)
    cost = json.loads((tmp_path / COST_FILE).read_text())
    assert cost["steps"] == 2  # of three, the first one is left out
    assert set(cost["tokens"]) >= {"step", "sampling", "judging", "reference"}
    assert cost["seconds"]["step"] > sum(cost["seconds"][kind] for kind in ("sampling", "judging", "reference")) > 0
    prompts = sum(len(row["prompt_ids"]) for row in dataset(model, tokenizer) if row["in_scope"])
    drawn = cost["tokens"]["sampling"] - 2 * prompts  # a prompt is read once for all its samples
    assert 2 * 2 * ONLINE.samples <= drawn <= 2 * 2 * ONLINE.samples * ONLINE.max_new_tokens
    flops = flops_per_step(cost)
    assert flops["sampling"] == pytest.approx(2 * cost["parameters"] * cost["tokens"]["sampling"] / 2)
    assert flops["step"] == pytest.approx(6 * cost["parameters"] * cost["tokens"]["step"] / 2)
    assert flops["reading"] == 0


def test_reading_rewards_from_the_training_forward_is_metered(model, tokenizer, reward, tmp_path):
    from trulysafe import PreferenceTrainer

    offline = PreferenceTrainer(
        model, method=Method(confidence=Confidence(kind="label", online=False)), reward_model=reward,
        train_dataset=dataset(model, tokenizer),
        processing_class=tokenizer, args=trainer(copy.deepcopy(model), tokenizer, reward, tmp_path).args,
    )  # fmt: skip
    offline.train()
    assert offline.meter.tokens["reading"] == 2 * 2 * 2  # two steps, two pairs in scope, two sides
    assert offline.meter.seconds["step"] > offline.meter.seconds["reading"] > 0
    assert "sampling" not in offline.meter.seconds


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"online": {"samples": 1}}, "online.samples"),
        ({"online": {"samples": 4, "temperature": 0}}, "online.temperature"),
        ({"online": Online(samples=4), "mask": Mask(rule="hysteresis")}, "no token rewards"),
        ({"online": {"judge": "oracle"}}, "nothing to judge"),
        ({"online": {"samples": 4, "judge": "oracle", "min_gap": 1}}, "would drop every pair"),
        (
            {"online": Online(samples=4, judge="oracle"), "confidence": Confidence(kind="label", states="reference")},
            "gives no rewards",
        ),
    ],
)
def test_options_that_cannot_work_are_refused(options, text):
    with pytest.raises(UserError, match=text):
        Method(**options)


def test_online_needs_its_reward_and_columns(model, tokenizer, reward, tmp_path):
    assert METHOD.needs_reward
    with pytest.raises(UserError, match="reward_model"):
        trainer(model, tokenizer, None, tmp_path)
    with pytest.raises(UserError, match="pair_index"):
        trainer(
            model, tokenizer, reward, tmp_path, train_dataset=dataset(model, tokenizer).remove_columns("pair_index")
        )
    reward.identity = {"pooling": "mean"}
    with pytest.raises(UserError, match="pooling: eos"):
        pairs_of(model, tokenizer, reward)
