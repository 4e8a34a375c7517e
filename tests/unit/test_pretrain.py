"""The base model from scratch: one BOS, lossless text, reproducible weights, a directory that loads, clear errors."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trulysafe.common.errors import UserError
from trulysafe.data.demo.tables import table
from trulysafe.models.options import FromScratch
from trulysafe.models.pretrain import (
    ASSISTANT,
    BOS,
    END,
    PAD,
    SPECIAL_TOKENS,
    USER,
    build_tokenizer,
    train_base,
)

ARCHITECTURE = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
TRAINING = {"steps": 5, "batch_size": 8, "max_length": 96}
TURNS = [
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Sure."},
    {"role": "user", "content": "Again?"},
    {"role": "assistant", "content": "No."},
]


@pytest.fixture(scope="module")
def corpus():
    return table("corpus", world=0, rows=200)


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return build_tokenizer(corpus, 512, 128)


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("base")
    return out, train_base(corpus, out, architecture=ARCHITECTURE, training=TRAINING, seed=3, threads=1)


def test_the_template_puts_one_bos_and_ends_with_the_end_of_turn(tokenizer):
    one = tokenizer.apply_chat_template(TURNS[:2], tokenize=False)
    assert one == f"{BOS}{USER}Hello?{ASSISTANT}Sure.{END}"
    many = tokenizer.apply_chat_template(TURNS, tokenize=False)
    assert many == f"{one}{USER}Again?{ASSISTANT}No.{END}"
    for text in (one, many):
        for added in (True, False):
            ids = tokenizer(text, add_special_tokens=added)["input_ids"]
            assert ids.count(tokenizer.bos_token_id) == 1
            assert ids[0] == tokenizer.bos_token_id
            assert ids[-1] == tokenizer.eos_token_id


def test_a_generation_prompt_is_the_prefix_of_the_answered_conversation(tokenizer):
    asked = tokenizer.apply_chat_template(TURNS[:3], tokenize=True, add_generation_prompt=True)["input_ids"]
    answered = tokenizer.apply_chat_template(TURNS, tokenize=True)["input_ids"]
    assert answered[: len(asked)] == asked


def test_other_roles_are_refused(tokenizer):
    with pytest.raises(Exception, match="user and assistant"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_special_tokens_are_single_and_distinct(tokenizer):
    assert len({tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}) == len(SPECIAL_TOKENS)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (BOS, END, PAD)


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_encodes_and_decodes_unchanged(text):
    tokenizer = build_tokenizer(pd.DataFrame({"prompt": ["How so?"], "response": ["Like this."]}), 300, 64)
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_directory_loads_and_generates(trained):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out, metrics = trained
    assert (out / "model.safetensors").exists()
    assert "trained from scratch" in (out / "README.md").read_text(encoding="utf-8")
    assert not [path for path in out.iterdir() if path.suffix in (".bin", ".pt", ".pkl")]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert model.num_parameters() == metrics["parameters"]
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert model.config.eos_token_id == tokenizer.eos_token_id
    ids = tokenizer(
        tokenizer.apply_chat_template(TURNS[:1], tokenize=False, add_generation_prompt=True), return_tensors="pt"
    )
    with torch.no_grad():
        made = model.generate(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], max_new_tokens=3)
    assert made.shape[1] > ids["input_ids"].shape[1]


def test_training_lowers_the_loss_and_counts_what_it_saw(corpus, trained, tmp_path):
    _, short = trained
    longer = train_base(
        corpus, tmp_path, architecture=ARCHITECTURE, training={**TRAINING, "steps": 40}, seed=3, threads=1
    )
    assert longer["final_loss"] < 0.8 * short["final_loss"]
    assert short["conversations"] == len(corpus)
    assert short["cut"] == 0
    assert 5 * 8 * 10 < short["tokens_seen"] < 5 * 8 * 96


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(corpus, trained, tmp_path):
    out, metrics = trained
    again = train_base(corpus, tmp_path / "a", architecture=ARCHITECTURE, training=TRAINING, seed=3, threads=1)
    train_base(corpus, tmp_path / "b", architecture=ARCHITECTURE, training=TRAINING, seed=4, threads=1)
    assert again == metrics
    for name in ("model.safetensors", "tokenizer.json", "README.md"):
        assert (tmp_path / "a" / name).read_bytes() == (out / name).read_bytes()
    assert (tmp_path / "b" / "model.safetensors").read_bytes() != (out / "model.safetensors").read_bytes()


def test_long_conversations_are_cut_and_counted(corpus, tmp_path):
    options = {**TRAINING, "steps": 1, "max_length": 12, "loss_on": "all"}
    assert train_base(corpus, tmp_path, architecture=ARCHITECTURE, training=options, seed=0, threads=1)["cut"] > 0


@pytest.mark.parametrize(
    ("architecture", "training", "message"),
    [
        ({}, {"step": 3}, r"training\.step: unknown key\. Did you mean 'steps'"),
        ({"hidden": 3}, {}, r"architecture\.hidden: unknown key\. Did you mean 'hidden_size'"),
        ({}, {"dtype": "float16"}, r"training.dtype: 'float16' is not accepted.*bfloat16"),
        ({}, {"steps": 0}, r"training\.steps: 0 is not accepted"),
        ({}, {"learning_rate": "fast"}, r"training\.learning_rate: 'fast' is not accepted. Accepted: a number"),
        ({}, {"learning_rate": -1e-3}, r"training\.learning_rate: -0\.001 is not accepted. Accepted: a number above 0"),
        ({}, {"warmup_ratio": 1.5}, r"training\.warmup_ratio: 1\.5 is not accepted. Accepted: a number below 1"),
    ],
)
def test_bad_options_are_named_before_any_work(architecture, training, message):
    with pytest.raises(UserError, match=message):
        FromScratch(architecture=architecture, training=training)


def test_options_that_do_not_fit_each_other_are_named(corpus, tmp_path):
    for architecture, training, message in (
        ({"hidden_size": 33}, {}, "hidden_size 33 must be a multiple"),
        ({"max_position_embeddings": 64}, {"max_length": 96}, "max_length 96 is more than"),
    ):
        with pytest.raises(UserError, match=message):
            train_base(corpus, tmp_path, architecture={**ARCHITECTURE, **architecture}, training=training, seed=0)
    with pytest.raises(UserError, match="no conversation"):
        train_base(corpus.iloc[:0], tmp_path, architecture=ARCHITECTURE, training=TRAINING, seed=0)
