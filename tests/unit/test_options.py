"""Options are what the functions and libraries take that they are passed on to, and a wrong one is refused when a
configuration is loaded."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml
from pydantic import BaseModel
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION, get_scheduler
from transformers.trainer_utils import SchedulerType

from trulysafe.common.errors import UserError
from trulysafe.common.options import Axis, ContrastMetric
from trulysafe.config.load import load
from trulysafe.config.resolved import method_of, training_of
from trulysafe.config.tables.optimisation import SCHEDULES, Lora, Schedule, ScheduleOptions
from trulysafe.config.tables.training import Training
from trulysafe.evaluate.outcomes import AXES, METRIC_AXES
from trulysafe.methods.confidence import label_confidence
from trulysafe.methods.masks import hysteresis_state, keep_eos, message_mask, with_minimum_share
from trulysafe.methods.method import AMA_DPO, Confidence, Mask, Method, Online
from trulysafe.models.pretrain import train_base
from trulysafe.reward.baselines import BASELINES
from trulysafe.reward.fit import fit_hybrid_reward
from trulysafe.reward.options import Baseline, FitOptions

SMALL = yaml.safe_load((Path(__file__).parents[1] / "workflow" / "small.yaml").read_text(encoding="utf-8"))


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The small configuration with values replaced by their dotted keys."""
    raw = copy.deepcopy(SMALL)
    for key, value in changes.items():
        *tables, last = key.split(".")
        place = raw
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = value
    return raw


def refused(changes: dict[str, Any]) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(changed(changes))
    return [line.removeprefix("- ") for line in str(caught.value).splitlines()[1:]]


def defaults(table: type[BaseModel]) -> dict[str, Any]:
    return {name: field.get_default(call_default_factory=True) for name, field in table.model_fields.items()}


def test_the_reward_fit_takes_its_options_and_no_other_keyword() -> None:
    states = np.random.default_rng(0).normal(size=(2, 8, 1, 2))
    given, default = fit_hybrid_reward(*states, **{**defaults(FitOptions), "epochs": 1}), fit_hybrid_reward(*states)
    assert not torch.equal(given.probe_weight, default.probe_weight)
    assert torch.equal(fit_hybrid_reward(*states, **defaults(FitOptions)).probe_weight, default.probe_weight)
    with pytest.raises(UserError, match=r"fit\.epoch: unknown key\. Did you mean 'epochs'\?"):
        fit_hybrid_reward(*states, epoch=1)


@pytest.mark.parametrize(
    ("function", "table", "fields"),
    [
        (label_confidence, Confidence, {"alpha": "alpha", "floor": "floor", "per_pair": "per_pair"}),
        (message_mask, Mask, {"baseline": "baseline", "width": "width"}),
        (hysteresis_state, Mask, {"baseline": "baseline", "width": "width"}),
        (with_minimum_share, Mask, {"minimum": "minimum_share"}),
        (keep_eos, Mask, {"option": "eos"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_defaults_of_a_method_s_functions_are_those_of_its_options(
    function: Callable[..., Any], table: type[BaseModel], fields: dict[str, str]
) -> None:
    """``fields`` says which field a keyword is. The rule of ``message_mask`` is that of AMA, since a plain method has
    no mask."""
    keywords = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty
    }
    if "rule" in keywords:
        assert keywords.pop("rule") == AMA_DPO.mask.rule
    assert keywords == {name: defaults(table)[field] for name, field in fields.items()}


NOT_IN_YAML = {
    # set by peft or by us
    "task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    # other engines and servings
    "megatron_config", "megatron_core", "runtime_config", "use_bdlora", "arrow_config", "alora_invocation_tokens",
    # objects of peft's
    "loftq_config", "eva_config", "corda_config", "lora_ga_config", "velora_config", "monteclora_config", "kasa_config",
    "use_qalora", "qalora_group_size", "layer_replication", "trainable_token_indices", "lora_bias", "target_parameters",
    "ensure_weight_tying",
}  # fmt: skip
"""Fields of peft.LoraConfig that a configuration cannot set; one that a new version adds is to be put here or into
Lora."""


def test_lora_is_peft_s_with_its_defaults() -> None:
    from peft import LoraConfig

    fields = {item.name: item for item in dataclasses.fields(LoraConfig)}
    assert fields.keys() - NOT_IN_YAML == Lora.model_fields.keys()
    ours = LoraConfig(**Lora().model_dump())
    assert ours.to_dict() == LoraConfig().to_dict()


def test_schedules_are_those_of_transformers() -> None:
    """But for two that follow a measured loss, which training does not compute."""
    known = {kind.value for kind in SchedulerType} - {"reduce_lr_on_plateau", "greedy"}
    assert set(get_args(Schedule)) == known == set(SCHEDULES)


@pytest.mark.parametrize("name", get_args(Schedule))
def test_options_of_a_schedule_are_the_arguments_of_its_function(name: str) -> None:
    by_trainer = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
    needed, further = SCHEDULES[name]  # type: ignore[index]
    taken = inspect.signature(TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)]).parameters.keys()
    assert {*needed, *further} == set(taken) - by_trainer
    assert {*needed, *further} <= ScheduleOptions.model_fields.keys()


def accepted_by_transformers(name: str, options: dict[str, Any], learning_rate: float) -> bool:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=learning_rate)
    try:
        get_scheduler(name, optimiser, 2, 10, options)
    except (TypeError, ValueError, AttributeError):
        return False
    return True


@pytest.mark.parametrize(
    ("name", "options", "rate"),
    [
        *((name, {}, 1e-3) for name in get_args(Schedule)),
        ("cosine_with_min_lr", {"min_lr": 1e-5}, 1e-3),
        ("cosine_with_min_lr", {"min_lr_rate": 0.1}, 1e-3),
        ("cosine_with_min_lr", {"min_lr": 1e-5, "min_lr_rate": 0.1}, 1e-3),
        ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1, "warmup_lr_rate": 0.1}, 1e-3),
        ("warmup_stable_decay", {"num_decay_steps": 4}, 1e-3),
        ("warmup_stable_decay", {"num_decay_steps": 4, "decay_type": "1-sqrt"}, 1e-3),
        ("linear", {"power": 2}, 1e-3),
        ("polynomial", {"power": 2}, 1e-3),
        ("polynomial", {"lr_end": 1e-2}, 1e-3),
        ("polynomial", {}, 1e-8),
        ("inverse_sqrt", {"timescale": 5}, 1e-3),
    ],
)
def test_a_schedule_is_refused_at_load_where_transformers_would_refuse_it(
    name: str, options: dict[str, Any], rate: float
) -> None:
    given = changed(
        {"training": SMALL["training"] | {"schedule": name, "schedule_options": options, "learning_rate": rate}}
    )
    if accepted_by_transformers(name, options, rate):
        assert load(given).training.schedule == name
    else:
        with pytest.raises(UserError, match=r"- training\.schedule_options\."):
            load(given)


def test_closed_sets_are_those_that_the_functions_read() -> None:
    assert set(AXES) == set(get_args(Axis))
    assert set(METRIC_AXES) == set(get_args(ContrastMetric))
    assert set(BASELINES) == set(get_args(Baseline))


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
        "methods.dpo.mask.eos: only the rule 'threshold' or 'batch_mean' or 'hysteresis' reads it, not 'none'.",
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


def test_a_method_cannot_be_changed_and_survives_being_written() -> None:
    method = Method(confidence=Confidence(kind="label", alpha=5.0), mask=Mask(rule="hysteresis"))
    with pytest.raises(ValueError, match="frozen"):
        method.loss = "ipo"
    assert Method(**method.model_dump()) == method


def test_one_stanza_makes_one_method() -> None:
    """Its token rewards are of the kind of their source, also where the configuration is written with all defaults and
    read again."""
    source = {"kind": "implicit", "model": "tiny", "datasets": ["preferences"], "experiment": "dpo"}
    raw = changed(
        {"token_rewards.policy": source, "methods.ama_dpo": {"mask": {"rule": "hysteresis"}, "token_rewards": "policy"}}
    )
    config = load(raw)
    assert method_of(config, "ama_dpo") == Method(mask=Mask(rule="hysteresis", token_rewards="implicit"))
    assert load(config.model_dump(mode="json")) == config
    other = {"mask": {"rule": "hysteresis", "token_rewards": "hybrid"}, "token_rewards": "policy", "reward": "hybrid"}
    (line,) = refused({"token_rewards.policy": source, "methods.ama_dpo": other})
    assert line.startswith("methods.ama_dpo.mask.token_rewards: 'hybrid' does not fit.")


def test_overrides_are_merged_before_keys_are_held_against_each_other() -> None:
    base = {"training.schedule": "cosine", "methods.dpo.training": {"schedule": "cosine_with_min_lr"}}
    config = load(
        changed(base | {"experiments.dpo.training": {"schedule_options": {"min_lr": "1e-5"}, "lora": {"r": 4}}})
    )
    training = training_of(config, config.experiments["dpo"])
    assert training.schedule_options.min_lr == 1e-5
    assert training.lora == Lora(r=4)
    assert isinstance(training, Training)


def test_a_base_model_is_trained_with_checked_options(tmp_path: Path) -> None:
    import pandas as pd

    corpus = pd.DataFrame({"prompt": ["a"], "response": ["b"]})
    with pytest.raises(UserError, match=r"^training\.stesp: unknown key\. Did you mean 'steps'"):
        train_base(corpus, tmp_path, architecture={}, training={"stesp": 3}, seed=0)
