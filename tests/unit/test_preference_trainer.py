"""The preference trainer against TRL's own loss, a plain loop and its own limits."""

import copy
import math

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from tests.unit import tiny
from trulysafe import AdaptiveDPOTrainer, ConfidenceDPOTrainer, HybridReward, PreferenceTrainer
from trulysafe.errors import UserError
from trulysafe.losses import BATCH_LOSSES, LIKELIHOOD_LOSS, PAIR_LOSSES, RESPONSE_LOSSES, SHIFTED_LOSSES
from trulysafe.masks import message_mask
from trulysafe.methods import CDPO, CONFIDENCE_DPO, DPO, LOSSES, ONE_PROCESS, Confidence, Mask, Method
from trulysafe.scoring import token_logps
from trulysafe.tokens import encode

PAIRS = [
    ("w1 w2 w3 w4", "w5 w6 w7 w8 w9", "w10 w11 w12"),
    ("w13 w14", "w15 w16", "w17 w18 w19 w20"),
    ("w21 w22 w23", "w24 w25 w26 w27", "w28 w29"),
    ("w30 w31 w32 w33 w34", "w35 w36 w37", "w38 w39 w1 w2"),
]


@pytest.fixture
def arguments(tmp_path):
    def make(**options):
        defaults = {
            "max_steps": 3,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-3,
            "beta": 0.1,
            "logging_steps": 1,
        }
        fixed = {
            "report_to": "none",
            "save_strategy": "no",
            "bf16": False,
            "gradient_checkpointing": False,
            "disable_tqdm": True,
            "seed": 3,
        }
        return DPOConfig(output_dir=str(tmp_path / "run"), max_length=None, **fixed, **(defaults | options))

    return make


def conversational() -> Dataset:
    said = (
        [{"role": "assistant", "content": text} for _, text, _ in PAIRS],
        [{"role": "assistant", "content": text} for _, _, text in PAIRS],
    )
    prompts = [[{"role": "user", "content": prompt}] for prompt, _, _ in PAIRS]
    return Dataset.from_dict({"prompt": prompts, "chosen": [[m] for m in said[0]], "rejected": [[m] for m in said[1]]})


def prepared(model, tokenizer, **extra) -> Dataset:
    """The workflow's data set: ids and reference log-probabilities per token."""
    columns: dict = {"pair_index": list(range(len(PAIRS)))}
    for side, place in (("chosen", 1), ("rejected", 2)):
        encoded = [encode(tokenizer, pair[0], pair[place]) for pair in PAIRS]
        columns["prompt_ids"] = [item.prompt_ids for item in encoded]
        columns[f"{side}_ids"] = [item.response_ids for item in encoded]
        columns[f"{side}_ref_token_logps"] = token_logps(model, encoded, tokenizer.pad_token_id, 3)
    return Dataset.from_dict(columns | extra)


def losses(trainer) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def _copied(model):
    return copy.deepcopy(model)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.tokenizer()


@pytest.fixture
def model(tokenizer):
    return tiny.model("llama")


def test_plain_dpo_is_trls_sigmoid_loss_over_a_trajectory(model, tokenizer, arguments):
    theirs = DPOTrainer(
        _copied(model),
        ref_model=_copied(model),
        args=arguments(max_steps=6),
        train_dataset=conversational(),
        processing_class=tokenizer,
    )
    ours = PreferenceTrainer(
        _copied(model),
        ref_model=_copied(model),
        args=arguments(max_steps=6),
        train_dataset=conversational(),
        processing_class=tokenizer,
    )
    assert losses(ours) == pytest.approx(losses(theirs), abs=1e-6)


def test_hinge_is_trls_hinge_loss(model, tokenizer, arguments):
    options = {"train_dataset": conversational(), "processing_class": tokenizer}
    theirs = DPOTrainer(_copied(model), ref_model=_copied(model), args=arguments(loss_type=["hinge"]), **options)
    ours = PreferenceTrainer(
        _copied(model), ref_model=_copied(model), method=Method(loss="hinge"), args=arguments(), **options
    )
    assert losses(ours) == pytest.approx(losses(theirs), abs=1e-6)


def test_method_table_knows_every_pair_loss():
    assert set(LOSSES) == set(PAIR_LOSSES) | set(RESPONSE_LOSSES) | set(BATCH_LOSSES) | {LIKELIHOOD_LOSS}
    assert set(BATCH_LOSSES) == set(ONE_PROCESS)


def test_every_loss_is_trls_of_that_name(model, tokenizer, arguments):
    """On a model that has moved away from its reference; two of them with labels that are wrong in a tenth of the cases."""
    smoothed = ("robust", "exo_pair")
    options = {"train_dataset": conversational(), "processing_class": tokenizer, "args": arguments()}
    theirs = DPOTrainer(_copied(model), ref_model=_copied(model), **options)
    ours = PreferenceTrainer(_copied(model), ref_model=_copied(model), **options)
    batch = theirs.data_collator([theirs.train_dataset[row] for row in range(4)])
    for trainer in (theirs, ours):
        with torch.no_grad():
            for parameter in trainer.model.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    theirs.loss_weights = [1.0]
    for name in (loss for loss in LOSSES if loss not in SHIFTED_LOSSES):
        theirs.loss_types, theirs.label_smoothing = [name], 0.1 if name in smoothed else 0.0
        confidence = Confidence(kind="fixed", value=0.9) if name in smoothed else Confidence()
        ours.method = Method(loss=name, confidence=confidence)
        expected = theirs._compute_loss(theirs.model, batch, False)
        assert float(ours._compute_loss(ours.model, batch)) == pytest.approx(float(expected), rel=1e-5), name


def test_columns_from_the_workflow_give_the_same_trajectory_as_a_live_reference(model, tokenizer, arguments):
    live = PreferenceTrainer(
        _copied(model),
        ref_model=_copied(model),
        args=arguments(),
        train_dataset=conversational(),
        processing_class=tokenizer,
    )
    stored = PreferenceTrainer(
        _copied(model), args=arguments(), train_dataset=prepared(model, tokenizer), processing_class=tokenizer
    )
    assert stored.ref_model is None
    assert losses(stored) == pytest.approx(losses(live), abs=1e-5)


def test_first_loss_is_ln_2(model, tokenizer, arguments):
    trainer = PreferenceTrainer(
        _copied(model), args=arguments(), train_dataset=prepared(model, tokenizer), processing_class=tokenizer
    )
    assert losses(trainer)[0] == pytest.approx(math.log(2), abs=1e-6)


def test_confidence_1_and_a_mask_of_ones_are_dpo(model, tokenizer, arguments):
    certain = Method(confidence=Confidence(kind="fixed", value=1.0))
    whole = Method(mask=Mask(rule="hysteresis"))
    tokens = {
        f"{side}_token_rewards": [[sign * 1.0] * len(ids) for ids in prepared(model, tokenizer)[f"{side}_ids"]]
        for side, sign in (("chosen", 1), ("rejected", -1))
    }
    runs = [
        PreferenceTrainer(
            _copied(model),
            method=method,
            args=arguments(),
            train_dataset=prepared(model, tokenizer, **tokens),
            processing_class=tokenizer,
        )
        for method in (DPO, certain, whole)
    ]
    plain, fixed, masked = (losses(run) for run in runs)
    assert fixed == pytest.approx(plain, abs=1e-7)
    assert masked == pytest.approx(plain, abs=1e-7)


def test_fixed_confidence_is_the_closed_form_and_spares_pairs_out_of_scope(model, tokenizer, arguments):
    scope = [True, False, True, False]
    trainer = PreferenceTrainer(
        _copied(model),
        method=CDPO,
        args=arguments(beta=0.5),
        train_dataset=prepared(model, tokenizer, in_scope=scope),
        processing_class=tokenizer,
    )
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(4)])
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        loss = float(trainer._compute_loss(trainer.model, batch))
        moved = {}
        for side, place in (("chosen", 1), ("rejected", 2)):
            encoded = [encode(tokenizer, pair[0], pair[place]) for pair in PAIRS]
            ref = [sum(row) for row in trainer.train_dataset[f"{side}_ref_token_logps"]]
            moved[side] = [
                sum(row) - base
                for row, base in zip(token_logps(trainer.model, encoded, tokenizer.pad_token_id, 4), ref, strict=True)
            ]
    expected = 0.0
    for row in range(4):
        h = 0.5 * (moved["chosen"][row] - moved["rejected"][row])
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
        _copied(model),
        method=method,
        args=arguments(),
        train_dataset=prepared(model, tokenizer, **tokens),
        processing_class=tokenizer,
    )
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(4)])
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
        loss = float(trainer._compute_loss(trainer.model, batch))
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
        _copied(model),
        ref_model=_copied(model),
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


def test_frozen_reward_does_not_move(model, tokenizer, arguments):
    torch.manual_seed(0)
    reward = HybridReward(model.config.num_hidden_layers, model.config.hidden_size)
    before = {name: value.clone() for name, value in reward.state_dict().items()}
    method = Method(confidence=Confidence(kind="label", online=False))
    ConfidenceDPOTrainer(
        _copied(model),
        method=method,
        reward_model=reward,
        ref_model=_copied(model),
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
            _copied(model),
            method=method,
            args=arguments(),
            train_dataset=prepared(model, tokenizer, **rewards),
            processing_class=tokenizer,
        )
        with torch.no_grad():
            for parameter in trainer.model.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
            rows = [trainer.train_dataset[row] for row in range(4)]
            parts = [
                trainer._compute_loss(trainer.model, trainer.data_collator(rows[start : start + batch_size]))
                for start in range(0, 4, batch_size)
            ]
        return float(sum(parts) / len(parts))

    assert mean_loss(1) == pytest.approx(mean_loss(4), abs=1e-5)


def test_adaptive_trainer_reads_token_rewards_from_a_live_reference(model, tokenizer, arguments):
    torch.manual_seed(0)
    reward = HybridReward(model.config.num_hidden_layers, model.config.hidden_size)
    trainer = AdaptiveDPOTrainer(
        _copied(model),
        reward_model=reward,
        ref_model=_copied(model),
        args=arguments(),
        train_dataset=conversational(),
        processing_class=tokenizer,
    )
    trainer.train()
    entry = trainer.state.log_history[0]
    assert 0 < entry["kept_share/chosen"] <= 1
    assert 0 < entry["kept_share/rejected"] <= 1


def test_lora_uses_the_model_without_its_adapter_as_reference(model, tokenizer, arguments):
    from peft import LoraConfig

    trainer = PreferenceTrainer(
        _copied(model),
        args=arguments(),
        train_dataset=conversational(),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=2, target_modules=["q_proj", "v_proj"]),
    )
    found = losses(trainer)
    assert found[0] == pytest.approx(math.log(2), abs=1e-6)
    assert found[-1] != found[0]


def test_non_finite_loss_stops_with_the_pairs(model, tokenizer, arguments):
    rows = prepared(model, tokenizer)
    broken = [*rows["chosen_ref_token_logps"][:3], [float("nan")] * len(rows["chosen_ref_token_logps"][3])]
    data = rows.remove_columns("chosen_ref_token_logps").add_column("chosen_ref_token_logps", broken)
    trainer = PreferenceTrainer(_copied(model), args=arguments(), train_dataset=data, processing_class=tokenizer)
    with pytest.raises(UserError, match=r"not finite for the pairs \[3\]"):
        trainer.train()


def test_a_mask_without_token_rewards_stops_and_is_not_a_mask_of_ones(model, tokenizer, arguments):
    with pytest.raises(UserError, match="beside chosen_ref_token_logps"):
        AdaptiveDPOTrainer(
            _copied(model),
            reward_model=HybridReward(model.config.num_hidden_layers, model.config.hidden_size),
            args=arguments(),
            train_dataset=prepared(model, tokenizer),
            processing_class=tokenizer,
        )


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (CONFIDENCE_DPO, "needs reward_model"),
        (Method(confidence=Confidence(kind="label", states="reference")), "chosen_reward"),
        (Method(mask=Mask(rule="hysteresis")), "chosen_token_rewards"),
    ],
)
def test_what_a_method_lacks_is_said_before_training(model, tokenizer, arguments, method, message):
    with pytest.raises(UserError, match=message):
        PreferenceTrainer(
            _copied(model), method=method, args=arguments(), train_dataset=conversational(), processing_class=tokenizer
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": {"rule": "hysterisis"}}, "Did you mean 'hysteresis'"),
        ({"confidence": {"kind": "label", "alfa": 1}}, "Did you mean 'alpha'"),
        ({"confidence": {"kind": "fixed", "value": 1.5}}, "confidence.value"),
        ({"confidence": {"per_pair": "yes"}}, "type bool"),
        ({"loss": "robust", "confidence": {"kind": "label"}}, "a value above 0.5"),
        ({"loss": "apo_zeroo"}, "Did you mean 'apo_zero'"),
    ],
)
def test_options_of_methods_are_checked(options, message):
    with pytest.raises(UserError, match=message):
        Method.from_mapping(options)
