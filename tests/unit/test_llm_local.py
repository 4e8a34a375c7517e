"""Answers of a local model, a real tiny one: batches, weights, room and templates."""

import os

import pytest
import torch

from tests.unit import tiny
from tests.unit.llm_requests import client, requests
from trulysafe.common.errors import UserError
from trulysafe.llm.local import LocalModel
from trulysafe.llm.messages import Request
from trulysafe.models.load import load_tokenizer
from trulysafe.models.tokens import encode


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    made = tiny.model("llama")
    made.config.max_position_embeddings = 512
    made.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def test_a_local_model_answers_in_batches_as_one_by_one(tmp_path, model_folder):
    texts = ["w1", "w2 w3 w4 w5 w6", "w7 w8", "w9 w10 w11"]
    spec = {"source": str(model_folder), "dtype": "float32"}
    batched = client(LocalModel(spec, batch_size=3), tmp_path / "a").ask(requests(*texts))
    single = [client(LocalModel(spec, batch_size=1), tmp_path / "b").ask(requests(text))[0] for text in texts]
    assert batched == single
    assert len({answer.text for answer in batched}) > 1
    torch.manual_seed(1)
    kept = client(LocalModel(spec, batch_size=3), tmp_path / "a")
    assert kept.ask(requests(*texts)) == batched
    assert kept.counts == {"from_cache": 4}
    assert "_loaded" not in vars(kept.backend)  # nothing missing, nothing loaded


def test_a_local_model_of_other_weights_is_asked_again(tmp_path, model_folder):
    spec = {"source": str(model_folder)}
    before = LocalModel(spec).identity()
    assert LocalModel(spec).identity() == before
    assert LocalModel(spec, batch_size=2).identity() != before
    weights = model_folder / "model.safetensors"
    os.utime(weights, ns=(0, weights.stat().st_mtime_ns + 1))
    assert LocalModel(spec).identity() != before


def test_a_conversation_without_room_for_an_answer_is_too_long(tmp_path, model_folder):
    asked = client(LocalModel({"source": str(model_folder)}), tmp_path)
    long, short = asked.ask(requests("w1 " * 600, "w1"))
    assert (long.end, long.text) == ("too_long", "")
    assert short.end in ("stop", "length")


def test_a_template_without_system_turns_gets_it_before_the_first_user_turn(tmp_path, model_folder):
    from trulysafe.llm.local import _turns

    made = tiny.tokenizer()
    made.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + tiny.TEMPLATE
    )
    turns = _turns(made, Request.of(user="w1", system="w2"))
    assert turns == [{"role": "user", "content": "w2\n\nw1"}]
    silent = tiny.tokenizer()
    silent.chat_template = tiny.TEMPLATE.replace("{% else %}", "{% elif m['role'] == 'assistant' %}")
    assert _turns(silent, Request.of(user="w1", system="w2")) == turns
    assert len(_turns(tiny.tokenizer(), Request.of(user="w1", system="w2"))) == 2


def test_values_of_the_chat_template_switch_thoughts_off(tmp_path, model_folder):
    thinking = "{% if enable_thinking is not defined or enable_thinking %}w9 {% endif %}" + tiny.TEMPLATE
    (tmp_path / "thinks.jinja").write_text("\n" + thinking, encoding="utf-8")
    spec = {"source": str(model_folder), "chat_template": str(tmp_path / "thinks.jinja")}
    plain, silent = (
        load_tokenizer({**spec, **more})
        for more in ({}, {"chat_template_kwargs": {"enable_thinking": False, "bos_token": "<bos>"}})
    )
    words = [made.convert_ids_to_tokens(encode(made, "w1").prompt_ids) for made in (plain, silent)]
    assert words == [["w9", "<bos>", "<|user|>", "w1", "<|assistant|>"], ["<bos>", "<|user|>", "w1", "<|assistant|>"]]
    silent.save_pretrained(tmp_path / "kept")
    tiny.model("llama").save_pretrained(tmp_path / "kept")
    again = load_tokenizer({"source": str(tmp_path / "kept")})
    assert encode(again, "w1").prompt_ids == encode(silent, "w1").prompt_ids  # a policy keeps it
    with pytest.raises(UserError, match="reads no 'enable_thinkin'"):
        load_tokenizer({**spec, "chat_template_kwargs": {"enable_thinkin": False}})
