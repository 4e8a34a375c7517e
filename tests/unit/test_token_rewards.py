"""Token rewards: forms, the implicit source, and the constants of the training split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trulysafe.common.errors import UserError
from trulysafe.methods.parts import Mask
from trulysafe.reward.token_scale import TokenScale, fit_scale, implicit, load_scale, prefix_form, save_scales

values = st.lists(st.floats(-50, 50), min_size=1, max_size=20)


@given(values)
def test_differences_add_up_to_the_change_of_the_level(prefix: list[float]) -> None:
    steps = prefix_form(prefix, "difference")
    assert len(steps) == len(prefix)
    assert steps[0] == 0
    assert np.cumsum(steps) + prefix[0] == pytest.approx(np.array(prefix), abs=1e-9)
    assert prefix_form(prefix, "level") == prefix


def test_known_values() -> None:
    assert prefix_form([1.0, 3.0, 2.5], "difference") == [0.0, 2.0, -0.5]
    assert implicit([-1.0, -2.0], [-1.5, -1.0]) == [0.5, -1.0]
    assert TokenScale("difference", centre=0.5, scale=2.0).apply([1.0, 3.0, 2.5]) == [-0.25, 0.75, -0.5]


@given(st.lists(values, min_size=2, max_size=6), st.sampled_from(["level", "difference"]))
def test_the_training_split_comes_out_centred_and_scaled(responses: list[list[float]], form: str) -> None:
    scale = fit_scale(responses, form)
    scaled = np.array([value for response in responses for value in scale.apply(response)])
    assert scaled.mean() == pytest.approx(0, abs=1e-6)
    if scale.scale != 1.0:
        assert scaled.std() == pytest.approx(1, abs=1e-6)


def test_constant_rewards_are_centred_and_not_blown_up() -> None:
    scale = fit_scale([[2.0, 2.0], [2.0]], "level")
    assert (scale.centre, scale.scale) == (2.0, 1.0)


def test_constants_are_stored_by_form(tmp_path: Path) -> None:
    scales = [TokenScale("level", 0.1, 2.0), TokenScale("difference", 0.0, 0.3)]
    save_scales(scales, tmp_path / "scales.json")
    assert [load_scale(tmp_path / "scales.json", form) for form in ("level", "difference")] == scales


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mask\.form: 'differences'.*Did you mean 'difference'"):
        Mask(rule="hysteresis", form="differences")
    for bad in ([], [[]], [[1.0, float("nan")]], [[float("inf")]]):
        with pytest.raises(UserError, match="empty or not finite"):
            fit_scale(bad, "level")
    with pytest.raises(ValueError, match="zip"):
        implicit([-1.0, -2.0], [-1.0])
    with pytest.raises(UserError, match="not the constants"):
        load_scale(tmp_path / "missing.json", "level")
    save_scales([TokenScale("level", 0.1, 2.0)], tmp_path / "scales.json")
    with pytest.raises(UserError, match="Accepted: level"):
        load_scale(tmp_path / "scales.json", "difference")
