"""Precision of weights by what the processor computes in."""

from __future__ import annotations

import logging

import pytest
import torch

from tests.unit import training_world as world
from trulysafe.common.errors import UserError
from trulysafe.models import precision
from trulysafe.models.load import load_model
from trulysafe.models.precision import dtype_of


@pytest.fixture(autouse=True)
def _forgotten():
    precision.CHOSEN.clear()
    precision._device.cache_clear()
    yield
    precision._device.cache_clear()


def _processor(monkeypatch, kept_to="AVX512", **capabilities):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: kept_to)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "a CPU", **capabilities})


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx2": True, "kept_to": "AVX2"}, "float32"),
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": True, "amx_bf16": True, "kept_to": "AVX2"}, "float32"),
        ({"avx512_bf16": True, "kept_to": "DEFAULT"}, "float32"),
        ({"bf16": True, "kept_to": "DEFAULT"}, "bfloat16"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_computes_in_it(monkeypatch, caplog, tmp_path, capabilities, dtype):
    _processor(monkeypatch, **capabilities)
    caplog.set_level(logging.INFO, "trulysafe")
    spec = world.save_model(tmp_path) | {"dtype": "auto"}
    assert dtype_of(spec) == dtype
    assert load_model(spec).dtype == getattr(torch, dtype)
    assert [f"{dtype} on a CPU"] == precision.CHOSEN
    assert [record.getMessage() for record in caplog.records] == [f"Weights: {dtype} on a CPU"]


def test_bfloat16_that_is_emulated_is_said_once_with_its_factor(monkeypatch, caplog):
    _processor(monkeypatch, kept_to="AVX2", avx2=True)
    spec = {"source": "some/model", "dtype": "bfloat16"}
    assert [dtype_of(spec), dtype_of(spec)] == ["bfloat16", "bfloat16"]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "bfloat16 is emulated on a CPU, which takes" in warning
    assert "times as long as float32" in warning


def test_an_unknown_precision_is_refused():
    with pytest.raises(UserError, match=r"'float23' is not accepted\. Did you mean 'float32'"):
        dtype_of({"source": "x", "dtype": "float23"})
