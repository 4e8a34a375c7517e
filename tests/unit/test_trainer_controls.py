"""Controls, flipped labels and what the training log says of them, in the trainer itself."""

from __future__ import annotations

import copy

import pandas as pd
import pytest
import torch

from tests.unit.preference_world import loss_of, losses, moved, prepared
from trulysafe import PreferenceTrainer
from trulysafe.common.errors import UserError
from trulysafe.common.schema import RISKS, SCHEMAS, write_table
from trulysafe.methods.confidence import label_confidence
from trulysafe.methods.method import DPO, Method
from trulysafe.methods.parts import MASK_CONTROLS, Confidence, Mask
from trulysafe.reward.token_scale import TokenScale
from trulysafe.train.run_data import run_data, training_set

REWARDS = {"chosen_reward": [1.0, 0.2, -0.5, 2.0], "rejected_reward": [-1.0, 0.4, 0.5, -2.0]}


@pytest.fixture
def trainer(model, tokenizer, arguments):
    def make(method, seed=3, **columns):
        data = prepared(model, tokenizer, **columns)
        made = PreferenceTrainer(
            copy.deepcopy(model),
            method=method,
            args=arguments(seed=seed),
            train_dataset=data,
            processing_class=tokenizer,
        )
        return made

    return make


def token_rewards(model, tokenizer, seed=5) -> dict[str, list[list[float]]]:
    data, draw = prepared(model, tokenizer), torch.Generator().manual_seed(seed)
    sides = ("chosen", "rejected")
    return {
        f"{s}_token_rewards": [torch.randn(len(i), generator=draw).tolist() for i in data[f"{s}_ids"]] for s in sides
    }


def ama(control="none", **options) -> Method:
    return Method(mask=Mask(rule="hysteresis", control=control, **options))


def test_a_mask_control_of_ones_is_dpo(trainer, model, tokenizer):
    columns = token_rewards(model, tokenizer)
    assert losses(trainer(ama("ones"), **columns)) == pytest.approx(losses(trainer(DPO)), abs=1e-7)
    assert losses(trainer(ama(), **columns)) != pytest.approx(losses(trainer(DPO)), abs=1e-5)


def test_random_and_shuffled_masks_keep_the_amount_and_do_not_depend_on_the_batch(trainer, model, tokenizer):
    columns = token_rewards(model, tokenizer)
    runs = {control: moved(trainer(ama(control, minimum_share=0.0), **columns)) for control in MASK_CONTROLS}
    found = {control: loss_of(run) for control, run in runs.items()}
    shares = {
        control: [run._metrics["eval"][f"kept_share/{side}"][0] for side in ("chosen", "rejected")]
        for control, run in runs.items()
    }
    assert shares["random"] == shares["none"]
    assert shares["ones"] == [1, 1]
    assert len({round(value, 9) for value in found.values()}) == 4
    for control, run in runs.items():
        assert loss_of(run, batch_size=1) == pytest.approx(found[control], abs=1e-5)
    other = moved(trainer(ama("random", minimum_share=0.0), seed=4, **columns))
    assert loss_of(other) != pytest.approx(found["random"], abs=1e-7)


def test_kept_share_and_fallbacks_are_logged_per_class(trainer, model, tokenizer):
    columns = token_rewards(model, tokenizer)
    columns["chosen_token_rewards"][0] = [-1.0] * len(columns["chosen_token_rewards"][0])
    risks = ["EHD", "IHD", "IHD", "general"]
    scope = [risk != "general" for risk in risks]
    codes = [RISKS.index(risk) for risk in risks]
    run = moved(trainer(ama(eos="rule"), risk=codes, in_scope=scope, **columns))
    loss_of(run)
    logged = {name: values[0] for name, values in run._metrics["eval"].items()}
    assert logged["fell_back/EHD"] == 0.5  # one of the two responses of the one pair
    assert logged["fell_back/IHD"] <= 0.25
    assert logged["count/kept_whole/EHD"] == 1
    assert logged["count/kept_whole/IHD"] == 4 * logged["fell_back/IHD"]
    loss_of(run)
    assert run._metrics["eval"]["count/kept_whole/EHD"] == [2]  # summed until it is logged
    assert 0 < logged["kept_share/IHD"] <= 1
    assert "kept_share/general" not in logged  # out of scope: never masked


def test_the_mean_of_a_batch_is_that_of_the_pairs_in_scope(trainer, model, tokenizer):
    columns, scope = token_rewards(model, tokenizer), [True, False, True, False]
    rule = Mask(rule="batch_mean", minimum_share=0.0, eos="rule")
    values = [value for side in columns.values() for row in (0, 2) for value in side[row]]
    level = Mask(rule="threshold", baseline=sum(values) / len(values), minimum_share=0.0, eos="rule")
    by_mean, by_level, of_all = (
        loss_of(moved(trainer(Method(mask=mask), in_scope=pairs, **columns)))
        for mask, pairs in ((rule, scope), (level, scope), (rule, [True] * 4))
    )
    assert by_mean == pytest.approx(by_level, abs=1e-6)
    assert by_mean != pytest.approx(of_all, abs=1e-6)


def test_confidence_is_logged_apart_for_flipped_labels(trainer):
    method = Method(confidence=Confidence(kind="label", states="reference", per_pair=True))
    flipped = [False, True, True, False]
    run = moved(trainer(method, flipped=flipped, **REWARDS))
    loss_of(run)
    gamma = label_confidence(
        *(torch.tensor(REWARDS[f"{side}_reward"]) for side in ("chosen", "rejected")), per_pair=True
    )
    logged = {name: values[0] for name, values in run._metrics["eval"].items()}
    assert logged["confidence/flipped"] == pytest.approx(float(gamma[[1, 2]].mean()))
    assert logged["confidence/clean"] == pytest.approx(float(gamma[[0, 3]].mean()))
    assert (logged["reward_model/accuracy_flipped"], logged["reward_model/accuracy_clean"]) == (0, 1)


def test_shuffled_rewards_leave_gammas_of_their_kind(trainer):
    plain, of_pairs = (
        Method(confidence=Confidence(kind="label", states="reference", per_pair=True, shuffle=how))
        for how in ("none", "pairs")
    )
    runs = [moved(trainer(method, seed=4, **REWARDS)) for method in (plain, of_pairs)]
    found = [loss_of(run) for run in runs]
    assert found[0] != pytest.approx(found[1], abs=1e-7)
    gammas = [run._metrics["eval"]["confidence"][0] for run in runs]
    assert gammas[0] == pytest.approx(gammas[1])  # the mean stays
    with pytest.raises(UserError, match="changes nothing"):
        Method(confidence=Confidence(kind="label", shuffle="pairs"))


def test_a_floor_of_0_per_pair_is_the_swapped_pair(trainer, model, tokenizer):
    method = Method(confidence=Confidence(kind="label", states="reference", per_pair=True, floor=0.0))
    as_given = loss_of(moved(trainer(method, **REWARDS)))
    run = moved(trainer(method, **REWARDS))
    swap = {"chosen": "rejected", "rejected": "chosen"}
    names = {
        name: name.replace(side, swap[side]) for name in run.train_dataset.column_names for side in swap if side in name
    }
    run.train_dataset = run.train_dataset.rename_columns(
        {old: f"new_{new}" for old, new in names.items()}
    ).rename_columns({f"new_{new}": new for new in names.values()})
    assert loss_of(run) == pytest.approx(as_given, abs=1e-6)


def test_flipped_pairs_change_sides_with_all_that_was_computed(model, tokenizer):
    mix = pd.DataFrame({"pair_id": ["a", "b"], "risk": ["EHD", "general"], "flipped": [True, False]})
    reference = pd.DataFrame(
        {
            "pair_id": ["b", "a"], "prompt_ids": [[1], [2]], "chosen_ids": [[3, 4], [5, 6]], "rejected_ids": [[7], [8]],
            "chosen_ref_token_logps": [[-3.0, -4.0], [-5.0, -6.0]], "rejected_ref_token_logps": [[-7.0], [-8.0]],
        }
    )  # fmt: skip
    rewards = pd.DataFrame(
        {
            "pair_id": ["a", "b"], "chosen_reward": [1.0, 2.0], "rejected_reward": [-1.0, -2.0],
            "chosen_token_values": [[0.5, 0.6], [0.3, 0.4]], "rejected_token_values": [[0.8], [0.7]],
        }
    )  # fmt: skip
    tokens = rewards, TokenScale("level", 0.0, 1.0)
    rows = training_set(mix, reference, rewards, tokens)
    assert rows["flipped"] == [True, False]
    assert rows["in_scope"] == [True, False]
    assert rows["chosen_ids"] == [[8], [3, 4]]
    assert rows["rejected_ids"] == [[5, 6], [7]]
    assert rows["chosen_ref_token_logps"] == [[-8.0], [-3.0, -4.0]]
    assert rows["chosen_reward"] == [-1.0, 2.0]
    assert rows["chosen_token_rewards"] == [[0.8], [0.3, 0.4]]
    assert rows["rejected_token_rewards"] == [[0.5, 0.6], [0.7]]
    plain = training_set(mix.drop(columns="flipped"), reference, rewards, tokens)
    assert "flipped" not in plain.column_names
    assert plain["chosen_ids"] == [[5, 6], [3, 4]]


@pytest.mark.parametrize(("scope", "inside"), [("safety", [True, False]), ("all", [True, True])])
def test_what_samples_by_the_column_in_scope_asks_the_prompts_of_the_scope(tmp_path, scope, inside):
    columns = dict.fromkeys(SCHEMAS["mix"], "")
    mix = pd.DataFrame([columns | {"pair_id": "a", "risk": "EHD"}, columns | {"pair_id": "b", "risk": "general"}])
    write_table(mix.assign(draw=0, flipped=False), tmp_path / "mix.parquet", "mix")
    ids = {"prompt_ids": [[1], [2]], "chosen_ids": [[3], [5]], "rejected_ids": [[7], [8]]}
    logps = {f"{side}_ref_token_logps": [[-3.0], [-5.0]] for side in ("chosen", "rejected")}
    pd.DataFrame({"pair_id": ["a", "b"], **ids, **logps}).to_parquet(tmp_path / "reference.parquet")
    run = {"mix": tmp_path / "mix.parquet", "seed": 0, "reference": [tmp_path / "reference.parquet"], "rewards": []}
    assert run_data(run, Method(reward_scope=scope))["in_scope"] == inside
