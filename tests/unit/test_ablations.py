"""Ablations: the paired differences, corrected together; groups and overlays that take a part of a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.unit.report_world import BENCHMARKS, run_of, texts, verdict_table
from tests.unit.small_configuration import refused
from trulysafe.common.errors import UserError
from trulysafe.config.load import load, without_removed
from trulysafe.evaluate.contrasts import METRICS, ablation_rows, contrast_rows
from trulysafe.evaluate.metrics import metric_rows
from trulysafe.report.listed import write_figures, write_tables
from trulysafe.report.tables import ablations
from trulysafe.stats.comparisons import holm

CONFIG = Path(__file__).parents[2] / "config"
ABLATIONS = {
    "one": {"choice": "First", "arm": "arm_1", "default": "arm_0", "primary": True},
    "two": {"choice": "Second", "arm": "arm_2", "default": "arm_0", "primary": True},
    "three": {"choice": "Third", "arm": "arm_2", "default": "arm_1", "primary": False},
}
ARMS = {"arm_0": {"label": "Default"}, "arm_1": {"label": "One"}, "arm_2": {"label": ""}}


@pytest.fixture(scope="module")
def verdicts() -> pd.DataFrame:
    return verdict_table(arms=3, steps=2)


@pytest.fixture(scope="module")
def rows(verdicts: pd.DataFrame) -> pd.DataFrame:
    return ablation_rows(verdicts, ABLATIONS, BENCHMARKS)


def test_differences_are_those_of_the_one_paired_comparison(verdicts: pd.DataFrame, rows: pd.DataFrame) -> None:
    assert rows[["ablation", "metric"]].to_numpy().tolist() == [
        [name, metric] for name in ABLATIONS for metric in METRICS
    ]
    single = contrast_rows(verdicts, [{"name": "x", "a": "arm_2", "b": "arm_0", "metric": "safe"}], BENCHMARKS).iloc[0]
    found = rows[(rows["ablation"] == "two") & (rows["metric"] == "safe")].iloc[0]
    for column in ("difference", "ci_low", "ci_high", "p_value", "n", "seeds"):
        assert found[column] == single[column]
    primary = rows["primary"].astype(bool)
    assert rows.loc[primary, "p_holm"].tolist() == pytest.approx(holm(rows.loc[primary, "p_value"]).tolist())
    assert rows.loc[~primary, "p_holm"].isna().all()


def test_outcomes_that_no_benchmark_measures_are_left_out(verdicts: pd.DataFrame) -> None:
    without = {name: about for name, about in BENCHMARKS.items() if about["axis"] != "helpfulness"}
    found = ablation_rows(verdicts[verdicts["benchmark"].isin(list(without))], ABLATIONS, without)
    assert set(found["metric"]) == {"safe", "over_refusal"}


def test_an_unknown_arm_is_refused_at_load() -> None:
    wrong = {"one": {"choice": "First", "arm": "dpo_9", "default": "base"}}
    assert any("'dpo_9' is not accepted. Did you mean 'dpo'" in line for line in refused({"report.ablations": wrong}))


def test_text_has_a_line_per_ablation_and_stars_only_for_corrected_primary_ones(rows: pd.DataFrame) -> None:
    marked = rows.assign(p_holm=[0.01, 0.2, 0.3, 0.04, 0.06, 0.9, None, None, None])
    text = texts(ablations.table(run_of(ARMS, ablations=marked)).shown)
    assert text["Choice"].tolist() == ["First", "Second", "Third"]
    assert text["Arm"].tolist() == ["One", "arm_2", "arm_2"]
    assert text["Declared"].tolist() == ["primary", "primary", "exploratory"]
    assert [cell.endswith("*") for cell in text["Safe"]] == [True, True, False]
    assert not text["Over-refusal"].str.endswith("*").any()
    first = rows.iloc[0]
    assert text["Safe"][0] == f"{first['difference']:.2f} [{first['ci_low']:.2f}, {first['ci_high']:.2f}]*"


def test_the_report_holds_the_table_and_the_kept_tokens(
    verdicts: pd.DataFrame, rows: pd.DataFrame, tmp_path: Path
) -> None:
    metrics = metric_rows(verdicts, BENCHMARKS, "id")
    token = {"example": 1, "pair_id": "a", "risk": "general", "prompt": "p", "place": 1, "token": "t", "reward": 0.5}
    shown = [
        {**token, "side": side, "state": 1, "kept": True, "band_low": -0.3, "band_high": 0.3}
        for side in ("chosen", "rejected")
    ]
    run = run_of(ARMS, metrics=metrics, ablations=rows, kept_tokens=pd.DataFrame(shown))
    tables = write_tables(tmp_path / "tables", run)
    assert {f"ablations.{ending}" for ending in ("md", "tex", "html", "csv")} | {"kept_tokens.html"} <= {
        path.name for path in tables
    }
    assert all(path.stat().st_size for path in tables)
    assert "| First" in (tmp_path / "tables/ablations.md").read_text(encoding="utf-8")
    figures = write_figures(tmp_path / "figures", run)
    assert {"kept_tokens.pdf", "kept_tokens.png", "kept_tokens.csv"} <= {path.name for path in figures}


def overlaid(**changes: Any) -> dict[str, Any]:
    """config/ablations.yaml over config/demo.yaml, as Snakemake merges them."""
    from snakemake.utils import update_config

    raw: dict[str, Any] = {}
    for name in ("demo.yaml", "ablations.yaml"):
        update_config(raw, yaml.safe_load((CONFIG / name).read_text(encoding="utf-8")))
    update_config(raw, changes)
    return raw


def test_ablations_cover_every_choice_once_and_each_arm_is_compared() -> None:
    config = load(overlaid())
    compared = {(item.arm, item.default) for item in config.report.ablations.values()}
    assert len(compared) == len(config.report.ablations)
    named = {name for pair in compared for name in pair}
    assert {name for name, item in config.experiments.items() if item.method} == named
    for item in config.report.ablations.values():  # one thing differs: the mix or the method
        arm, default = config.experiments[item.arm], config.experiments[item.default]
        assert (arm.mix == default.mix) != (arm.method == default.method), item
        assert (arm.model, arm.seeds, arm.first_seed) == (default.model, default.seeds, default.first_seed)


def test_a_group_keeps_what_it_waits_for_and_is_compared_with() -> None:
    whole, part = load(overlaid()), load(overlaid(groups=["ama"]))
    kept = {name for name, item in whole.experiments.items() if item.group == "ama"}
    assert set(part.experiments) == {"base", "dpo", "ama", *kept}
    assert set(part.mixes) == {"fdc_x1"}
    assert set(part.pairs) == {"reranked", "harmless"}
    assert set(part.rewards) == {"hybrid"}
    assert set(part.token_rewards) == {"dpo_policy", "classifier"}
    assert set(part.report.ablations) == {
        name for name, item in whole.report.ablations.items() if item.arm in {*kept, "ama"}
    }
    flipped = load(overlaid(groups=["flipped"]))
    assert set(flipped.mixes) == {"fdc_x1", "flipped_10", "flipped_25", "flipped_40"}
    with pytest.raises(UserError, match="Did you mean 'ama'"):
        load(overlaid(groups=["amma"]))


def test_components_set_to_null_are_gone() -> None:
    raw = {
        "methods": {"a": None, "b": {"beta": None}},
        "report": {"contrasts": {"c": None}, "kept_tokens": None},
        "seed": 0,
    }
    assert without_removed(raw) == {
        "methods": {"b": {"beta": None}},
        "report": {"contrasts": {}, "kept_tokens": None},
        "seed": 0,
    }
