"""GGUF files: converted with the same weights, or refused with what is wrong, and nothing half-written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gguf import GGUFReader

from tests.unit import gguf_files
from trulysafe.common.errors import UserError
from trulysafe.models.gguf import convert
from trulysafe.models.load import load_model, load_tokenizer


def test_weights_tokenizer_and_template_are_those_of_the_file(tmp_path):
    file = gguf_files.write(tmp_path / "model.gguf")
    facts = convert(file, tmp_path / "model")
    assert facts["architecture"] == "LlamaForCausalLM"
    assert (facts["layers"], facts["hidden_size"], facts["context"]) == (1, 32, 64)
    spec = {"source": str(tmp_path / "model"), "dtype": "float32"}
    model, tokenizer = load_model(spec), load_tokenizer(spec)
    given = {tensor.name: tensor for tensor in GGUFReader(file).tensors}["blk.0.ffn_down.weight"].data
    assert torch.equal(model.model.layers[0].mlp.down_proj.weight, torch.from_numpy(np.array(given)))
    assert tokenizer.chat_template == gguf_files.TEMPLATE
    assert tokenizer.decode(tokenizer("yes no")["input_ids"]) == "yes no"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "unheard-of"}, "GGUF model with architecture unheard-of is not supported"),
        ({"tokenizer": False}, "the GGUF file holds no tokenizer"),
        ({"template": False}, "the GGUF file holds no chat template"),
    ],
)
def test_a_file_that_is_no_chat_model_is_refused(tmp_path, changes, said):
    file = gguf_files.write(tmp_path / "model.gguf", **changes)
    with pytest.raises(UserError) as caught:
        convert(file, tmp_path / "model")
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_a_template_of_the_configuration_takes_the_place_of_the_files_own(tmp_path):
    file = gguf_files.write(tmp_path / "model.gguf", template=False)
    assert convert(file, tmp_path / "model", needs_template=False)["layers"] == 1


@pytest.mark.parametrize("kept", [0, 3, 2000, 20000], ids=["empty", "a part of the magic", "header cut", "weights cut"])
def test_a_damaged_file_is_refused(tmp_path, kept):
    file = gguf_files.write(tmp_path / "model.gguf")
    assert file.stat().st_size > 20000
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"model\.gguf: "):
        convert(file, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_something_else_is_refused(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04 a zip archive")
    with pytest.raises(UserError, match="not a GGUF file"):
        convert(tmp_path / "model.gguf", tmp_path / "model")
