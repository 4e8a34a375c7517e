"""Choices of the reward compared on held-out pairs: against plain loops, the reward stage, and the one paired
comparison."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from tests.unit.report_world import BENCHMARKS, run_of, texts, verdict_table
from trulysafe.common.errors import UserError
from trulysafe.config.files import raw_configuration
from trulysafe.config.load import load
from trulysafe.evaluate.contrasts import ablation_rows
from trulysafe.plan.checks import check_inputs
from trulysafe.plan.plan import Plan
from trulysafe.report.tables import ablations, training_means
from trulysafe.report.tables.training_means import GAP
from trulysafe.reward.ablations import held_out_rewards, pair_outcomes, reward_ablation_rows
from trulysafe.reward.model import HybridReward
from trulysafe.reward.stage import fit_stage
from trulysafe.reward.states import ENDPOINT, held_out_pairs, held_out_rows
from trulysafe.stats.comparisons import holm, paired_difference

ROOT = Path(__file__).resolve().parents[2]
OPTIONS: dict[str, Any] = {"fit": {"epochs": 3, "validation_share": 0.3}, "test_share": 0.4, "seed": 4}
COMPARED = {
    "two_stage": {"choice": "Two stages", "a": "two_stage", "b": "hybrid"},
    "calibration": {"choice": "Not calibrated", "a": "raw", "b": "hybrid"},
    "layer": {"choice": "Best layer", "a": "hybrid, best_layer", "b": "hybrid", "primary": False},
}


def pairs(count: int = 80) -> tuple[dict[str, torch.Tensor], pd.DataFrame]:
    """Two layers, of which one tells the sides apart a little; two pairs share each prompt, every third prompt has a
    named family."""
    draw = torch.Generator().manual_seed(0)
    safe, unsafe = torch.randn(2, count, 2, 6, generator=draw)
    safe[:, 1] += 0.5
    prompts = [f"{row // 2:04x}" for row in range(count)]
    family = ["named" if row // 2 % 3 == 0 else "" for row in range(count)]
    index = pd.DataFrame({"pair_id": [f"p{row}" for row in range(count)], "prompt_id": prompts, "prompt": prompts})
    return {"safe": safe, "unsafe": unsafe}, index.assign(group_id=prompts, risk="EHD", family=family)


@pytest.fixture(scope="module")
def rewards() -> dict[str, pd.DataFrame]:
    arrays, index = pairs()
    fits: dict[str, dict[str, Any]] = {"hybrid": {}, "two_stage": {"two_stage": True}, "raw": {"calibrate": False}}
    found = {
        name: held_out_rewards(arrays, index, {**OPTIONS, "fit": {**OPTIONS["fit"], **fit}}, fits=3)
        for name, fit in fits.items()
    }
    return {**found, "hybrid, best_layer": held_out_rewards(arrays, index, OPTIONS, fits=3, baseline="best_layer")}


@pytest.fixture(scope="module")
def rows(rewards: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return reward_ablation_rows(rewards, COMPARED)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def outcome(metric: str, safe: float, unsafe: float) -> float:
    """One pair, from the definitions."""
    if metric == "ranked":
        return 1.0 if safe > unsafe else 0.5 if safe == unsafe else 0.0
    if metric == "sign":
        return ((1 if safe > 0 else 0) + (1 if unsafe < 0 else 0)) / 2
    if metric == "brier":
        return ((1 - sigmoid(safe)) ** 2 + sigmoid(unsafe) ** 2) / 2
    apart = 7.5 * (sigmoid(safe) - sigmoid(unsafe))
    return max(sigmoid(apart), 0.5) - max(sigmoid(-apart), 0.5)


def test_first_fit_is_the_reward_that_the_stage_saves(rewards: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    arrays, index = pairs()
    fit_stage(arrays, index, OPTIONS, {"base_model": "x"}, tmp_path)
    saved = HybridReward.from_pretrained(tmp_path / ENDPOINT)
    test_rows = held_out_rows(index, OPTIONS["test_share"])[1]
    first = rewards["hybrid"][rewards["hybrid"]["seed"] == OPTIONS["seed"]]
    assert first["pair_id"].tolist() == index["pair_id"].iloc[test_rows].tolist() == held_out_pairs(tmp_path)
    with torch.no_grad():
        for side in ("safe", "unsafe"):
            expected = saved.calibrated(saved(arrays[side][test_rows]))
            assert first[side].tolist() == expected.double().tolist()
    assert sorted(rewards["hybrid"]["seed"].unique()) == [4, 5, 6]
    assert rewards["hybrid, best_layer"]["seed"].unique().tolist() == [4]


def test_families_are_the_data_s_own_or_the_prompt(rewards: dict[str, pd.DataFrame]) -> None:
    prompt_of = pairs()[1].set_index("pair_id")["prompt_id"]
    for pair, family in rewards["hybrid"][["pair_id", "family"]].itertuples(index=False):
        prompt = prompt_of[pair]
        assert family == ("named" if int(prompt, 16) % 3 == 0 else f"prompt {prompt}")


def test_outcomes_are_those_of_a_plain_loop() -> None:
    safe, unsafe = [0.3, -1.0, 2.0, 0.0, 0.5], [-0.2, 1.5, 1.9, 0.0, 0.5]
    found = pair_outcomes(safe, unsafe)
    for metric, values in found.items():
        expected = [outcome(metric, a, b) for a, b in zip(safe, unsafe, strict=True)]
        assert values.tolist() == pytest.approx(expected)


def test_differences_are_those_of_a_plain_loop(rewards: dict[str, pd.DataFrame], rows: pd.DataFrame) -> None:
    assert len(rows) == 4 * len(COMPARED)
    for _, row in rows.iterrows():
        a, b = rewards[row["a"]], rewards[row["b"]]
        sides: tuple[list[float], list[float]] = ([], [])
        seeds, families = [], []
        for fit in range(3):
            for pair in sorted(b["pair_id"].unique()):
                for side, table in zip(sides, (a, b), strict=True):
                    fits = sorted(table["seed"].unique())
                    of_fit = table[(table["seed"] == fits[fit % len(fits)]) & (table["pair_id"] == pair)].iloc[0]
                    side.append(outcome(row["metric"], of_fit["safe"], of_fit["unsafe"]))
                seeds.append(fit)
                families.append(of_fit["family"])
        expected = paired_difference(*sides, seeds, families)
        assert row["n"] == len(seeds)
        assert row["difference"] == pytest.approx(sum(x - y for x, y in zip(*sides, strict=True)) / len(seeds))
        assert row[["ci_low", "ci_high", "p_value"]].tolist() == pytest.approx(
            [expected.low, expected.high, expected.p_value], nan_ok=True
        )


def test_calibration_changes_no_order(rows: pd.DataFrame) -> None:
    found = rows[(rows["ablation"] == "calibration") & (rows["metric"] == "ranked")].iloc[0]
    assert (found["difference"], found["p_value"]) == (0.0, 1.0)


def test_holm_over_all_tested_outcomes_of_the_primary_ones(rows: pd.DataFrame) -> None:
    tested = rows["primary"].astype(bool)
    assert tested.sum() == 8
    p_values = rows.loc[tested, "p_value"]
    assert p_values.isna().any()  # one reward's signs are the other's
    assert rows.loc[tested, "p_holm"].tolist() == pytest.approx(holm(p_values.fillna(1.0)).tolist())
    assert rows.loc[~tested, "p_holm"].isna().all()


def test_only_common_pairs_are_compared(rewards: dict[str, pd.DataFrame]) -> None:
    kept = sorted(rewards["raw"]["pair_id"].unique())[:10]
    fewer = {**rewards, "raw": rewards["raw"][rewards["raw"]["pair_id"].isin(kept)]}
    assert set(reward_ablation_rows(fewer, {"calibration": COMPARED["calibration"]})["n"]) == {30}
    none = {**rewards, "raw": rewards["raw"].assign(pair_id="elsewhere")}
    with pytest.raises(UserError, match="share no held-out pair"):
        reward_ablation_rows(none, COMPARED)


def test_one_table_of_arms_and_rewards(rows: pd.DataFrame) -> None:
    arms = {"arm_0": {"label": "Default"}, "arm_1": {"label": "One"}}
    declared = {"two_stage": {"choice": "Ranked so", "arm": "arm_1", "default": "arm_0"}}
    answers = ablation_rows(verdict_table(arms=2, steps=2), declared, BENCHMARKS)
    both = ablations.table(run_of(arms, ablations=answers, reward_ablations=rows))
    assert both is not None
    text = texts(both.shown)
    assert text["Choice"].tolist() == ["Ranked so", *(about["choice"] for about in COMPARED.values())]
    assert (text["Safe"] != "").tolist() == [True, False, False, False]
    assert (text["Brier score"] != "").tolist() == [False, True, True, True]
    first = rows.iloc[0]
    assert text["Pairs ranked right"][1].startswith(f"{first['difference']:.3f} [{first['ci_low']:.3f}")
    assert "Rewards: difference of a reward" in both.caption
    alone = ablations.table(run_of(arms, reward_ablations=rows))
    assert alone is not None
    assert "Over-refusal" not in alone.shown
    assert "harmful prompts" not in alone.caption
    only = ablations.table(run_of(arms, ablations=answers))
    assert only is not None
    assert only.numbers.equals(answers.assign(of="answers"))
    assert "held-out" not in only.caption
    assert ablations.table(run_of(arms)) is None


WRONG = {
    "neither": ({"choice": "x", "default": "hybrid"}, "one of reward, fit and baseline"),
    "both": ({"choice": "x", "default": "hybrid", "fit": {}, "baseline": "best_layer"}, "one of reward, fit and base"),
    "option": ({"choice": "x", "default": "hybrid", "fit": {"two_stages": True}}, "Did you mean 'two_stage'"),
    "name": ({"choice": "x", "default": "hybird", "fit": {"margin": 0}}, "Did you mean 'hybrid'"),
    "datasets": ({"choice": "x", "default": "hybrid", "reward": "other"}, "no held-out pairs are common"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_comparisons_are_refused(name: str) -> None:
    raw = yaml.safe_load((ROOT / "tests" / "workflow" / "small.yaml").read_text(encoding="utf-8"))
    raw["datasets"]["more"] = {**raw["datasets"]["preferences"]}
    raw["rewards"]["other"] = {"model": "tiny", "datasets": ["more"]}
    item, message = WRONG[name]
    raw["report"]["reward_ablations"] = {"one": item}
    with pytest.raises(UserError, match=message):
        check_inputs(load(raw))


@pytest.mark.parametrize("files", [["demo.yaml", "ablations.yaml"], ["real_small.yaml", "real_ablations.yaml"]])
def test_each_choice_of_the_reward_differs_in_one_thing(files: list[str]) -> None:
    config = load(raw_configuration([ROOT / "config" / name for name in files]))
    plan = Plan(config)
    compared = config.report.reward_ablations
    assert {"pooling", "pooling_all", "two_stage", "calibration", "best_layer", "start"} <= set(compared)
    for name, item in compared.items():
        default = config.rewards[item.default].model_dump(exclude={"token_positions"})
        if item.reward:
            other = config.rewards[item.reward].model_dump(exclude={"token_positions"})
            assert sum(other[key] != default[key] for key in default) == 1, name
        elif item.fit:
            assert len(item.fit) == 1, name
        assert plan.reward.ablations[name]["a"] in plan.reward.compared[item.reward or item.default]
    fitted = [name for fits in plan.reward.compared.values() for name in fits]
    assert len(fitted) == len(set(fitted)) == len(compared) + 1


def test_training_means_over_seeds() -> None:
    rng, records = np.random.default_rng(0), []
    for seed in range(3):
        for step in (2, 4):
            clean, flipped = rng.uniform(0.5, 1, 2)
            for name, value in (("confidence/clean", clean), ("confidence/flipped", flipped), ("loss", 1.0)):
                records.append({"experiment": "arm", "seed": seed, "step": step, "name": name, "value": value})
    records.append({"experiment": "arm", "seed": 0, "step": 6, "name": "confidence/flipped", "value": np.nan})
    log = pd.DataFrame(records)
    table = training_means.table(run_of({"arm": {"label": "The arm"}, "base": {}}, log=log))
    assert table is not None
    rows = table.numbers.set_index("column")
    gaps = []
    for seed in range(3):
        means = {}
        for name in ("clean", "flipped"):
            of_seed = [r["value"] for r in records if r["seed"] == seed and r["name"] == f"confidence/{name}"]
            means[name] = float(np.nanmean(of_seed))
        gaps.append(means["clean"] - means["flipped"])
    assert rows.loc[GAP, "value"] == pytest.approx(np.mean(gaps))
    assert rows.loc[GAP, "ci_high"] - rows.loc[GAP, "value"] == pytest.approx(
        4.3027 * np.std(gaps, ddof=1) / 3**0.5, rel=1e-4
    )
    assert rows["seeds"].tolist() == [3, 3, 3]
    text = table.shown
    assert text.columns.tolist() == ["Arm", "Seeds", "Gamma, true labels", "Gamma, flipped labels", GAP]
    assert text["Arm"].tolist() == ["The arm"]
    assert training_means.table(run_of({"arm": {}}, log=log[log["name"] == "loss"])) is None
    assert training_means.table(run_of({"arm": {}})) is None


def test_limits_of_training_means_stay_within_what_is_logged() -> None:
    rows = [
        {"experiment": "arm", "seed": seed, "step": 2, "name": "kept_share/fell_back", "value": value}
        for seed, value in enumerate((0.0, 0.02, 0.1))
    ]
    table = training_means.table(run_of({"arm": {}}, log=pd.DataFrame(rows)))
    assert table is not None
    found = table.numbers.iloc[0]
    assert found["ci_low"] == 0 < found["value"] < found["ci_high"] < 1
