"""The one tokenisation path, with templates as real models have them."""

import pytest

from tests.unit import tiny
from tests.unit import training_world as world
from trulysafe.common.errors import UserError
from trulysafe.models.load import load_tokenizer
from trulysafe.models.tokens import encode
from trulysafe.train.jobs import train_run

ENDS = "<unk>"  # stands for Gemma's <end_of_turn>: a token of the vocabulary that is not the EOS


@pytest.fixture
def like_gemma(tmp_path):
    """A model whose template ends a turn with another token than the EOS, and writes one more after it."""
    spec = world.save_model(tmp_path / "model", "gemma")
    made = tiny.tokenizer()
    made.chat_template = tiny.TEMPLATE.replace("{{ eos_token }}", f"{ENDS} w0 ")
    made.save_pretrained(tmp_path / "model")
    return spec


def ids(tokenizer, words):
    return tokenizer.convert_tokens_to_ids(words.split())


def test_prompt_and_response_are_split_where_the_response_starts(tokenizer):
    found = encode(tokenizer, "w1 w2", "w3")
    assert found.prompt_ids == ids(tokenizer, "<bos> <|user|> w1 w2 <|assistant|>")
    assert found.response_ids == ids(tokenizer, "w3 <|end|>")
    assert encode(tokenizer, "w1 w2").prompt_ids == found.prompt_ids


def test_the_last_of_several_turns_is_the_response(tokenizer):
    asked = [{"role": role, "content": text} for role, text in (("user", "w1"), ("assistant", "w2"), ("user", "w3"))]
    assert encode(tokenizer, asked, "w4").response_ids == ids(tokenizer, "w4 <|end|>")


def test_the_token_that_ends_a_turn_can_be_named(like_gemma):
    with pytest.raises(UserError, match=r"does not end an assistant turn with '<\|end\|>'"):
        encode(load_tokenizer(like_gemma), "w1", "w2")
    named = load_tokenizer({**like_gemma, "end_of_turn": ENDS})
    assert encode(named, "w1", "w2").response_ids == ids(named, f"w2 {ENDS}")
    with pytest.raises(UserError, match="'<nothing>' is no token"):
        load_tokenizer({**like_gemma, "end_of_turn": "<nothing>"})


def test_a_policy_keeps_the_named_token(like_gemma, tmp_path):
    spec = {**like_gemma, "end_of_turn": ENDS}
    data = world.dataset(spec)
    run = world.run(tmp_path / "run", spec, steps=1, snapshots=[])
    train_run(run, lambda: data)
    policy = load_tokenizer({"source": str(run.place / "policy" / "step1"), "dtype": "float32"})
    assert policy.eos_token == ENDS
    assert encode(policy, "w1", "w2") == encode(load_tokenizer(spec), "w1", "w2")


def test_a_template_that_tells_the_date_gives_the_same_prompt_every_day(tokenizer):
    clock = "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    dated = tiny.tokenizer()
    dated.chat_template = f"{clock}{{{{ 'w1 ' if date_string == '26 Jul 2024' else 'w2 ' }}}}{tiny.TEMPLATE}"
    assert encode(dated, "w5").prompt_ids[0] == ids(dated, "w1")[0]


def test_two_bos_tokens_are_refused(tokenizer):
    twice = tiny.tokenizer()
    twice.chat_template = "{{ bos_token }} " + tiny.TEMPLATE
    with pytest.raises(UserError, match="writes the BOS token '<bos>' twice in a row"):
        encode(twice, "w1", "w2")


def test_texts_may_hold_what_reads_as_a_special_token(tokenizer):
    found = encode(tokenizer, "w1 <bos> w2", "w3 <|end|> w4")
    assert found.prompt_ids.count(tokenizer.bos_token_id) == 2
    assert found.response_ids == ids(tokenizer, "w3 <|end|> w4 <|end|>")
