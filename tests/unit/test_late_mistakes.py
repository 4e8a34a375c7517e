"""Mistakes in options that would fail late are refused when a configuration is loaded, in words."""

from __future__ import annotations

import pytest

from tests.unit.small_configuration import refused
from trulysafe.common.errors import UserError
from trulysafe.methods.method import Method, Online
from trulysafe.methods.parts import Mask

SCORE = {"experiment": "base", "benchmark": "harmful", "value": 0.4, "source": "card", "differs": "items"}
LATE = {
    "a misspelt schedule": ({"training.schedule": "cosin"},
        "training.schedule: 'cosin' is not accepted. Did you mean 'cosine'? Accepted: linear, "),
    "a schedule's missing option": (
        {"training.schedule": "cosine_with_min_lr"},
        "training.schedule_options.min_lr: missing. The schedule 'cosine_with_min_lr' needs min_lr or min_lr_rate.",
    ),
    "another schedule's option": (
        {"training.schedule_options": {"power": 2}},
        "training.schedule_options.power: the schedule 'linear' does not read it. Accepted: no options.",
    ),
    "an unknown option of LoRA": ({"training.lora": {"rank": 8}},
        "training.lora.rank: unknown key. Did you mean 'rank_pattern'? Accepted: alpha_pattern, "),
    "a rank of 0": ({"training.lora": {"r": 0}}, "training.lora.r: 0 is not accepted. Accepted: a number, 1 or more."),
    "LoRA of one experiment": (
        {"experiments.dpo.training": {"lora": {"dropout": 0.1}}},
        "experiments.dpo.training.lora.dropout: unknown key. ",
    ),
    "a schedule of one method": ({"methods.dpo.training": {"schedule": "cosin"}},
        "methods.dpo.training.schedule: 'cosin' is not accepted."),
    "a schedule and its options in two places": (
        {"methods.dpo.training": {"schedule": "warmup_stable_decay"}},
        ("experiments.dpo.training.schedule_options.num_decay_steps: missing. The schedule 'warmup_stable_decay' needs "
        "num_decay_steps."),
    ),
    "a misspelt option of the fit": ({"rewards.hybrid.fit": {"epoch": 3}},
        "rewards.hybrid.fit.epoch: unknown key. Did you mean 'epochs'?"),
    "a choice of the fit": ({"rewards.hybrid.fit": {"pairing": "random"}},
        "rewards.hybrid.fit.pairing: 'random' is not accepted. Accepted: given, crossed."),
    "a fit that holds nothing out": ({"rewards.hybrid.fit": {"validation_share": 0}},
        "rewards.hybrid.fit.validation_share: 0 leaves no pairs "),
    "an unknown option of an ablation's fit": (
        {"report.reward_ablations.a": {"choice": "c", "default": "hybrid", "fit": {"two_stages": True}}},
        "report.reward_ablations.a.fit.two_stages: unknown key. Did you mean 'two_stage'?",
    ),
    "an ablation's fit that contradicts the default's": (
        {
            "rewards.hybrid.fit": {"trained": "gates"},
            "report.reward_ablations.a": {"choice": "c", "default": "hybrid", "fit": {"two_stage": True}},
        },
        "report.reward_ablations.a.fit.trained: 'gates' with two_stage",
    ),
    "a published score of answers": (
        {"report.calibration.a": SCORE | {"experiment": "base", "value": 0.4}},
        "report.calibration.a.benchmark: 'harmful' is judged, not chosen in. Name a benchmark with a task.",
    ),
    "a published score of no model": (
        {"report.calibration.a": SCORE | {"experiment": "bse", "value": 0.4}},
        "report.calibration.a.experiment: 'bse' is not accepted. Did you mean 'base'?",
    ),
    "a published score of a policy that is trained here": (
        {
            "benchmarks.quiz": {"task": "arc_easy", "datasets": ["test"], "axis": "helpfulness"},
            "report.calibration.a": SCORE | {"experiment": "dpo", "benchmark": "quiz"},
        },
        "report.calibration.a.experiment: 'dpo' is trained here, so no score of it is published.",
    ),
    "a published score in percent": (
        {"report.calibration.a": SCORE | {"experiment": "base", "value": 40}},
        "report.calibration.a.value: 40",
    ),
    "an unknown option of a base model": ({"models.tiny.training": {"step": 3}},
        "models.tiny.training.step: unknown key. Did you mean 'steps'?"),
    "the precision of a base model": (
        {"models.tiny.training": {"dtype": "float16"}},
        "models.tiny.training.dtype: 'float16' is not accepted. Did you mean 'bfloat16'? Accepted: float32, bfloat16.",
    ),
    "a flag for a number": ({"models.tiny.architecture.hidden_size": True},
        "models.tiny.architecture.hidden_size: True is not accepted. Accepted: a number."),
    "conversations that do not fit": ({"models.tiny.training": {"max_length": 4096}},
        "models.tiny: training.max_length 4096 is more than "),
    "shares above 1": ({"split.shares": {"pairs": 0.7, "reward": 0.7}},
        "split.shares: the shares sum to 1.4. Accepted: "),
    "no shares": ({"split.shares": {"pairs": 0}}, "split.shares: the shares sum to 0. Accepted: "),
    "a dataset's own shares": ({"datasets.harmful.role": {"pairs": 0.7, "reward": 0.7}}, "datasets.harmful.role"),
    "a misspelt option of a mask": ({"methods.ama_dpo.mask": {"with": 0.1}},
        "methods.ama_dpo.mask.with: unknown key. Did you mean 'width'?"),
    "a misspelt rule": ({"methods.ama_dpo.mask": {"rule": "hysterisis"}},
        "methods.ama_dpo.mask.rule: 'hysterisis' is not accepted. Did you mean 'hysteresis'?"),
    "a mask's key without a rule": (
        {"methods.dpo.mask": {"eos": "drop"}},
        "methods.dpo.mask.eos: only the rule 'threshold' or 'batch_mean' or 'hysteresis' or 'importance' reads it,",
    ),
    "a band where there is none": ({"methods.ama_dpo.mask": {"rule": "threshold", "width": 0.1}},
        "methods.ama_dpo.mask.width: the rule 'threshold' "),
    "an option of another confidence": (
        {"methods.cdpo.confidence": {"kind": "fixed", "alpha": 3}},
        "methods.cdpo.confidence.alpha: only the kind 'label' reads it, not 'fixed'.",
    ),
    "a constant of a read confidence": (
        {"methods.confidence_dpo.confidence": {"kind": "label", "value": 0.8}},
        "methods.confidence_dpo.confidence.value: only the kind 'fixed' reads it",
    ),
    "a text for a flag": (
        {"methods.confidence_dpo.confidence": {"kind": "label", "per_pair": "yes"}},
        "methods.confidence_dpo.confidence.per_pair: 'yes' is not accepted. Accepted: true, false.",
    ),
    "a slope that is not finite": (
        {"methods.confidence_dpo.confidence": {"kind": "label", "alpha": float("inf")}},
        "methods.confidence_dpo.confidence.alpha: inf is not accepted. ",
    ),
    "a misspelt loss": ({"methods.dpo.loss": "hinges"},
        "methods.dpo.loss: 'hinges' is not accepted. Did you mean 'hinge'? Accepted: sigmoid, "),
    "a loss that cannot be masked": ({"methods.ama_dpo.loss": "kto"},
        "methods.ama_dpo.loss: 'kto' holds whole responses "),
    "one sample": ({"methods.dpo.online": {"samples": 1}},
        "methods.dpo.online.samples: 1 is not accepted. Accepted: 0 (off), or at least 2."),
    "a shuffle that changes nothing": (
        {"methods.confidence_dpo.confidence": {"kind": "label", "shuffle": "pairs"}},
        "methods.confidence_dpo.confidence.shuffle: 'pairs' changes nothing",
    ),
    "a kind of model": ({"models.tiny.source": "huub"},
        "models.tiny.source: 'huub' is not accepted. Did you mean 'hub'? Accepted: train, finetune, hub, path, pack"),
    "no kind of model": ({"models.other": {"name": "x"}}, "models.other.source: missing. Add the key"),
}  # fmt: skip


@pytest.mark.parametrize("name", LATE)
def test_what_would_fail_late_is_refused_at_load(name: str) -> None:
    changes, message = LATE[name]
    lines = refused(changes)
    assert lines[0].startswith(message), lines


def test_several_mistakes_are_told_at_once() -> None:
    lines = refused(
        {"methods.dpo": {"loss": "x", "mask": {"rule": "y", "with": 1}}, "rewards.hybrid.fit": {"epochs": 0}}
    )
    assert [line.split(": ")[0] for line in lines] == [
        "rewards.hybrid.fit.epochs", "methods.dpo.loss", "methods.dpo.mask.rule", "methods.dpo.mask.with",
    ]  # fmt: skip


def test_a_script_is_told_the_key_and_what_is_accepted() -> None:
    with pytest.raises(UserError, match=r"^mask\.rule: 'hysterisis' is not accepted\. Did you mean 'hysteresis'\?"):
        Mask(rule="hysterisis")
    with pytest.raises(UserError, match=r"^confidence\.alfa: unknown key\. Did you mean 'alpha'\? Accepted: alpha, "):
        Method(confidence={"alfa": 1})
    with pytest.raises(UserError, match=r"^loss: 'x' is not accepted\..*\nmask\.width: -1 is not accepted"):
        Method(loss="x", mask={"rule": "hysteresis", "width": -1})
    with pytest.raises(UserError, match=r"^online\.samples: 2\.5 is not accepted\. Accepted: a whole number\.$"):
        Online(samples=2.5)
