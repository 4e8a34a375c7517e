"""Confidence and masks in the trainer: against the formula and a plain loop, and what training moves."""

import math
from copy import deepcopy

import pytest
import torch

from tests.unit.preference_world import PAIRS, conversational, loss_of, moved, prepared
from trulysafe import AdaptiveDPOTrainer, ConfidenceDPOTrainer, HybridReward, PreferenceTrainer
from trulysafe.methods.masks import message_mask
from trulysafe.methods.method import CDPO, Method
from trulysafe.methods.parts import Confidence, Mask
from trulysafe.models.scoring import token_logps
from trulysafe.models.tokens import encode
from trulysafe.trainers import online_reward

WITHOUT_REFITS = Method(confidence=Confidence(kind="label", calibrate_every=0))


def test_fixed_confidence_is_the_closed_form_and_spares_pairs_out_of_scope(model, tokenizer, arguments):
    scope = [True, False, True, False]
    trainer = PreferenceTrainer(
        deepcopy(model),
        method=CDPO,
        args=arguments(beta=0.5),
        train_dataset=prepared(model, tokenizer, in_scope=scope),
        processing_class=tokenizer,
    )
    loss = loss_of(moved(trainer, seed=1))
    with torch.no_grad():
        policy = {}
        for side, place in (("chosen", 1), ("rejected", 2)):
            encoded = [encode(tokenizer, pair[0], pair[place]) for pair in PAIRS]
            ref = [sum(row) for row in trainer.train_dataset[f"{side}_ref_token_logps"]]
            policy[side] = [
                sum(row) - base
                for row, base in zip(token_logps(trainer.model, encoded, tokenizer.pad_token_id, 4), ref, strict=True)
            ]
    expected = 0.0
    for row in range(4):
        h = 0.5 * (policy["chosen"][row] - policy["rejected"][row])
        gamma = 0.9 if scope[row] else 1.0
        expected += (gamma * math.log1p(math.exp(-h)) + (1 - gamma) * math.log1p(math.exp(h))) / 4
    assert loss == pytest.approx(expected, abs=1e-5)


def test_masked_margin_is_the_sum_over_kept_tokens_of_policy_and_reference(model, tokenizer, arguments):
    base = prepared(model, tokenizer)
    draw = torch.Generator().manual_seed(5)
    tokens = {
        f"{side}_token_rewards": [torch.randn(len(ids), generator=draw).tolist() for ids in base[f"{side}_ids"]]
        for side in ("chosen", "rejected")
    }
    method = Method(mask=Mask(rule="hysteresis", minimum_share=0.0, eos="rule"))
    trainer = PreferenceTrainer(
        deepcopy(model),
        method=method,
        args=arguments(),
        train_dataset=prepared(model, tokenizer, **tokens),
        processing_class=tokenizer,
    )
    loss = loss_of(moved(trainer, seed=2))
    with torch.no_grad():
        kept = {}
        for side, place in (("chosen", 1), ("rejected", 2)):
            encoded = [encode(tokenizer, pair[0], pair[place]) for pair in PAIRS]
            policy = token_logps(trainer.model, encoded, tokenizer.pad_token_id, 4)
            kept[side] = []
            for row in range(4):
                rewards = torch.tensor([tokens[f"{side}_token_rewards"][row]])
                mask = message_mask(rewards, torch.ones_like(rewards), torch.tensor([side == "chosen"]))[0].tolist()
                ref = base[f"{side}_ref_token_logps"][row]
                kept[side].append(sum(m * (p - q) for m, p, q in zip(mask, policy[row], ref, strict=True)))
    margins = [0.1 * (c - r) for c, r in zip(kept["chosen"], kept["rejected"], strict=True)]
    assert loss == pytest.approx(sum(math.log1p(math.exp(-h)) for h in margins) / 4, abs=1e-5)


def test_confidence_trainer_moves_policy_and_reward_but_not_reference(model, tokenizer, arguments):
    torch.manual_seed(0)
    reward = HybridReward(model.config.num_hidden_layers, model.config.hidden_size)
    before = {name: value.clone() for name, value in reward.state_dict().items()}
    trainer = ConfidenceDPOTrainer(
        deepcopy(model),
        method=WITHOUT_REFITS,
        ref_model=deepcopy(model),
        reward_model=reward,
        args=arguments(),
        train_dataset=conversational(),
        processing_class=tokenizer,
    )
    reference = {name: value.clone() for name, value in trainer.ref_model.state_dict().items()}
    start = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    for name, value in trainer.model.named_parameters():
        assert not torch.equal(value, start[name]), name
    for name, value in trainer.ref_model.state_dict().items():
        assert torch.equal(value, reference[name]), name
    for name in ("probe_weight", "probe_bias", "gate"):
        assert not torch.equal(reward.state_dict()[name], before[name]), name
    read = {"accuracy", "loss", "offset", "temperature"}
    assert {"confidence", *(f"reward_model/{name}" for name in read)} <= set(trainer.state.log_history[0])


def test_reward_does_not_move_in_a_step_without_a_pair_in_scope(model, tokenizer, arguments):
    reward = HybridReward(model.config.num_hidden_layers, model.config.hidden_size)
    before = {name: value.clone() for name, value in reward.state_dict().items()}
    trainer = ConfidenceDPOTrainer(
        deepcopy(model),
        method=WITHOUT_REFITS,
        reward_model=reward,
        args=arguments(),
        train_dataset=prepared(model, tokenizer, in_scope=[False] * 4),
        processing_class=tokenizer,
    )
    trainer.train()
    assert not trainer.reward.optimizer.state
    assert all(torch.equal(value, before[name]) for name, value in reward.state_dict().items())
    assert "reward_model/loss" not in trainer.state.log_history[0]


def test_frozen_reward_does_not_move(model, tokenizer, arguments):
    torch.manual_seed(0)
    reward = HybridReward(model.config.num_hidden_layers, model.config.hidden_size)
    before = {name: value.clone() for name, value in reward.state_dict().items()}
    method = Method(confidence=Confidence(kind="label", online=False))
    ConfidenceDPOTrainer(
        deepcopy(model),
        method=method,
        reward_model=reward,
        ref_model=deepcopy(model),
        args=arguments(),
        train_dataset=conversational(),
        processing_class=tokenizer,
    ).train()
    assert all(torch.equal(value, before[name]) for name, value in reward.state_dict().items())


def test_gamma_of_reference_rewards_does_not_depend_on_the_batch_when_per_pair(model, tokenizer, arguments):
    rewards = {"chosen_reward": [1.0, 0.2, -0.5, 2.0], "rejected_reward": [-1.0, 0.4, 0.5, -2.0]}
    method = Method(confidence=Confidence(kind="label", states="reference", per_pair=True))

    def mean_loss(batch_size):
        trainer = PreferenceTrainer(
            deepcopy(model),
            method=method,
            args=arguments(),
            train_dataset=prepared(model, tokenizer, **rewards),
            processing_class=tokenizer,
        )
        return loss_of(moved(trainer, seed=3), batch_size)

    assert mean_loss(1) == pytest.approx(mean_loss(4), abs=1e-5)


def test_adaptive_trainer_reads_token_rewards_from_a_live_reference(model, tokenizer, arguments):
    torch.manual_seed(0)
    reward = HybridReward(model.config.num_hidden_layers, model.config.hidden_size)
    trainer = AdaptiveDPOTrainer(
        deepcopy(model),
        reward_model=reward,
        ref_model=deepcopy(model),
        args=arguments(),
        train_dataset=conversational(),
        processing_class=tokenizer,
    )
    trainer.train()
    entry = trainer.state.log_history[0]
    assert 0 < entry["kept_share/chosen"] <= 1
    assert 0 < entry["kept_share/rejected"] <= 1


def online(model, tokenizer, arguments, confidence, validation, **options):
    """A trained trainer whose online reward has validation states."""
    torch.manual_seed(0)
    reward = HybridReward(model.config.num_hidden_layers, model.config.hidden_size)
    trainer = ConfidenceDPOTrainer(
        deepcopy(model),
        method=Method(confidence=Confidence(kind="label", **confidence)),
        reward_model=reward,
        validation_states=validation(reward),
        ref_model=deepcopy(model),
        args=arguments(**options),
        train_dataset=conversational(),
        processing_class=tokenizer,
    )
    trainer.train()
    return trainer


def right_states(reward, pairs=6):
    """States that the reward ranks right, all of them: of drawn ones the best and the worst."""
    drawn = torch.randn(4 * pairs, reward.num_layers, reward.hidden_size)
    order = reward(drawn).argsort(descending=True)
    return drawn[order[:pairs]], drawn[order[-pairs:]]


def test_calibration_is_refitted_every_so_many_optimiser_steps_whatever_the_accumulation(
    model, tokenizer, arguments, monkeypatch
):
    refits = []
    monkeypatch.setattr(online_reward, "calibrate", lambda *given: refits.append(given))
    small = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "max_steps": 5}
    online(model, tokenizer, arguments, {"calibrate_every": 2}, right_states, **small)
    assert len(refits) == 2  # in ten micro-batches


def test_auc_on_the_validation_states_is_logged_and_a_fall_is_said_once(model, tokenizer, arguments, caplog):
    quiet = online(model, tokenizer, arguments, {"calibrate_every": 0, "learning_rate": 0.0}, right_states)
    assert [entry["reward_model/auc"] for entry in quiet.state.log_history if "loss" in entry] == [1.0] * 3
    assert not caplog.records
    ruined = online(model, tokenizer, arguments, {"calibrate_every": 0, "learning_rate": 10.0}, right_states)
    found = [entry["reward_model/auc"] for entry in ruined.state.log_history if "loss" in entry]
    assert max(found) < 0.95
    (said,) = (record.getMessage() for record in caplog.records if "AUC" in record.getMessage())
    assert said.startswith("step 1:")
    assert f"from 1.000 at the start to {found[0]:.3f}" in said


def test_online_rate_is_the_papers_for_narrow_states_and_falls_with_their_size():
    def rate(layers, width, **options):
        reward = HybridReward(layers, width)
        return online_reward.OnlineReward(reward, Confidence(kind="label", **options), train=False).learning_rate

    assert rate(2, 64) == rate(2, 16) == 0.01
    assert rate(32, 4096) == pytest.approx(0.01 / 128)
    assert rate(32, 4096, learning_rate=0.01) == 0.01


def test_masks_read_the_reward_as_it_was_given_while_it_trains_along(model, tokenizer, arguments):
    reward = HybridReward(model.config.num_hidden_layers, model.config.hidden_size)
    before = deepcopy(reward)
    trainer = AdaptiveDPOTrainer(
        deepcopy(model),
        method=Method(confidence=WITHOUT_REFITS.confidence, mask=Mask(rule="hysteresis")),
        reward_model=reward,
        ref_model=deepcopy(model),
        args=arguments(),
        train_dataset=conversational(),
        processing_class=tokenizer,
    )
    trainer.train()
    assert not torch.equal(reward.probe_weight, before.probe_weight)
    states = torch.randn(2, 3, before.num_layers, before.hidden_size)
    assert torch.equal(trainer._token_reward.token_rewards(states), before.token_rewards(states))
