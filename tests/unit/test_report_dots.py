"""Figures of dots: every benchmark, ours beside the paper's, safety against helpfulness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.unit.report_world import ARMS, PUBLISHED, run_of
from trulysafe.evaluate.metrics import POOLED
from trulysafe.report.figures import benchmarks, helpfulness, published
from trulysafe.report.tables.main import main_rows

MEASURED_ON = {
    "harmful": {"axis": "safety", "purpose": "test", "judge": "oracle"},
    "look_alikes": {"axis": "over_refusal", "purpose": "test", "judge": "oracle"},
    "questions": {"axis": "helpfulness", "purpose": "test", "judge": "oracle"},
}


def run_with(metrics: pd.DataFrame, **known: object) -> object:
    run = run_of(metrics=metrics)
    for name, value in known.items():
        setattr(run, name, value)
    return run


def test_every_benchmark_has_a_panel_with_what_the_metrics_say(tmp_path: Path, metrics: pd.DataFrame) -> None:
    drawn = benchmarks.figure(run_with(metrics, benchmarks=MEASURED_ON))
    assert set(drawn) == {"", "_amount"}
    rows = drawn[""].numbers
    assert list(dict.fromkeys(rows["panel"])) == ["harmful, safe", "look alikes, refused", "questions, right"]
    assert set(rows["experiment"]) == {"base", "arm_0", "arm_1"}
    row = rows[(rows["experiment"] == "arm_1") & (rows["benchmark"] == "look_alikes")].iloc[0]
    source = metrics[
        (metrics["experiment"] == "arm_1")
        & (metrics["benchmark"] == "look_alikes")
        & (metrics["metric"] == "over_refusal")
        & (metrics["risk"] == "all")
        & (metrics["judge"] == "oracle")
        & (metrics["seed"] == POOLED)
    ]
    last = source.loc[source["step"].idxmax()]
    assert row[["value", "ci_low", "ci_high", "n"]].tolist() == last[["value", "ci_low", "ci_high", "n"]].tolist()
    assert len(drawn[""].write(tmp_path / "benchmarks")) == 3


@pytest.mark.filterwarnings("error")
def test_a_very_long_label_leaves_room_for_the_dots(tmp_path: Path, metrics: pd.DataFrame) -> None:
    arms = {name: {**about, "label": f"{name}, " + 9 * "whose label goes on "} for name, about in ARMS.items()}
    run = run_with(metrics, benchmarks=MEASURED_ON, arms=arms)
    drawn = benchmarks.figure(run)[""]
    drawn.write(tmp_path / "benchmarks")
    shown = [text.get_text() for text in drawn.figure.axes[0].get_yticklabels()]
    assert all(text.endswith(" …") and text.count("\n") == 1 for text in shown)
    assert min(axes.get_position().width for axes in drawn.figure.axes) > 0.1
    plane = helpfulness.figure(run)[""]
    plane.figure.draw_without_rendering()
    (legend,) = plane.figure.legends
    assert plane.figure.bbox.x0 <= legend.get_window_extent().x0
    assert legend.get_window_extent().x1 <= plane.figure.bbox.x1


def test_development_benchmarks_and_a_single_one_are_not_drawn(metrics: pd.DataFrame) -> None:
    alone = {
        name: about | {"purpose": "test" if name == "harmful" else "development"} for name, about in MEASURED_ON.items()
    }
    assert benchmarks.figure(run_with(metrics, benchmarks=alone)) == {}
    assert benchmarks.figure(run_with(metrics)) == {}


def test_safety_against_helpfulness_shows_the_main_table(tmp_path: Path, metrics: pd.DataFrame) -> None:
    drawn = helpfulness.figure(run_with(metrics))
    expected = main_rows(metrics, run_of(metrics=metrics).groups[""])
    expected = expected[expected["column"].isin(["Helpful", "Safe all"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(drawn[""].numbers, expected)
    (axes,) = drawn[""].figure.axes
    marks = [line for line in axes.lines if line.get_marker() not in ("None", "")]
    assert len(marks) == 3
    low, high = axes.get_xlim()
    helpful = expected[expected["column"] == "Helpful"]
    assert low <= helpful["ci_low"].min()
    assert helpful["ci_high"].max() <= high
    assert len(drawn[""].write(tmp_path / "helpfulness")) == 3
    harmless = metrics["benchmark"] == "test/helpfulness"
    apart = metrics[harmless == (metrics["experiment"] == "base")]
    assert helpfulness.figure(run_with(apart)) == {}
    unmeasured = helpfulness.figure(run_with(metrics.assign(ci_low=np.nan, ci_high=np.nan)))
    assert len(unmeasured[""].write(tmp_path / "without_limits")) == 3
    without = metrics[metrics["benchmark"] != "test/helpfulness"]
    assert helpfulness.figure(run_with(without)) == {}


@pytest.mark.parametrize("models", [1, 2])
def test_ours_stand_beside_the_papers(tmp_path: Path, metrics: pd.DataFrame, models: int) -> None:
    names = ["LLaMA3-8B-Instruct", "Qwen2-7B-Instruct"]
    arms = {
        "base": {"model": names[0], "method": "Base"},
        "arm_0": {"model": names[models - 1], "method": "DPO (20k)"},
    }
    ours = {"arms": arms, "benchmarks": {"harmful": {"published": "BeaverTails-30k-test", "judge": "oracle"}}}
    drawn = published.figure(run_with(metrics, published=PUBLISHED, published_names=ours))
    assert set(drawn) == ({""} if models == 1 else {"_llama3-8b-instruct", "_qwen2-7b-instruct"})
    for name, made in drawn.items():
        assert set(made.numbers["benchmark"]) == {"BeaverTails-30k-test"}
        assert len(made.numbers) == 4  # every method of the paper, ours where it was run
        assert made.numbers["ours"].notna().sum() == 3 - models
        assert len(made.write(tmp_path / f"published{name}")) == 3


def test_without_published_values_there_is_no_such_figure(metrics: pd.DataFrame) -> None:
    assert published.figure(run_with(metrics)) == {}
    assert published.figure(run_with(metrics, published=PUBLISHED)) == {}
    assert set(ARMS) > {"base"}
