"""The cost of pairs at the paper's size, against a plain count of every forward pass."""

from __future__ import annotations

import pytest

from tests.unit.report_world import PUBLISHED
from trulysafe.report.cost_formula import (
    Setting,
    Shape,
    extrapolated,
    formula_rows,
    online_step,
    pool_once,
    published_setting,
    published_shapes,
    reading_step,
)

SETTING, SHAPE = Setting(3, 5, 4, 20, 7, 11), Shape(1000, 2, 8)


def forward(shape: Shape, tokens: float) -> float:
    return 2 * shape.parameters * tokens


def test_an_online_step_is_counted_pass_by_pass() -> None:
    counted = 0.0
    for _ in range(3):  # prompts of the step
        counted += forward(SHAPE, 7)  # the prompt, once for all samples
        for _ in range(4):  # samples: generated, then read by the reward with their prompt
            counted += forward(SHAPE, 11) + forward(SHAPE, 18)
        for _ in range(2):  # both sides of the pair, by the reference
            counted += forward(SHAPE, 18)
    assert online_step(SETTING, SHAPE) == counted


def test_reading_takes_a_probe_per_layer_and_a_gate() -> None:
    assert reading_step(SETTING, SHAPE) == 6 * (2 * 2 * 8 + 2 * 2 * 2)


def test_at_equal_pairs_the_pool_costs_what_online_sampling_does() -> None:
    rows = formula_rows(SETTING, {"m": SHAPE}).set_index("case")
    assert rows.loc["whole training, equal pairs", "prompts"] == 15
    without_reading = pool_once(SETTING, SHAPE, 15) - 15 * 4 * (2 * 2 * 8 + 2 * 2 * 2)
    assert rows.loc["whole training, equal pairs", "online"] == without_reading
    assert rows.loc["per step", "ratio"] == online_step(SETTING, SHAPE) / reading_step(SETTING, SHAPE)
    paper = rows.loc["whole training, the paper's pool"]
    assert paper["ratio"] == pytest.approx(15 / 20, rel=1e-2)


def test_the_published_setting_is_read_from_its_file() -> None:
    assert published_setting(PUBLISHED) == Setting(16, 100, 8, 4000, 60, 0.6 * 256)
    shapes = published_shapes(PUBLISHED)
    layer = 4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096
    assert shapes["Llama-2-7B"] == Shape(32 * layer + 4096, 32, 4096)
    heads, width, inner = 512, 3584, 18944
    layer = 2 * width * width + 2 * width * heads + width + 2 * heads + 3 * width * inner + 2 * width
    assert shapes["Qwen2.5-7B"] == Shape(28 * layer + width, 28, 3584)


def test_the_table_says_what_it_assumes() -> None:
    made = extrapolated(PUBLISHED)
    assert made.shown["Compared"].tolist()[:3] == [
        "per step",
        "whole training, the paper's pool",
        "whole training, equal pairs",
    ]
    assert "16 pairs per step, 100 steps, 8 samples per prompt, a pool of 4,000 prompts" in made.caption
    assert (made.numbers["ratio"] == made.numbers["online"] / made.numbers["reranked"]).all()
