"""A policy to start from: fine-tuned on responses by TRL, saved whole."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from tests.unit import tiny
from tests.unit import training_world as world
from trulysafe.common.errors import UserError
from trulysafe.config.tables.sources import FineTuning
from trulysafe.models.finetune import finetune
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.models.tokens import encode

CORPUS = pd.DataFrame(
    [(f"{a} {b}", f"{b} {c} {a}") for a in tiny.WORDS[:4] for b in tiny.WORDS[4:7] for c in tiny.WORDS[7:9]],
    columns=["prompt", "response"],
)


def made(folder, corpus=CORPUS, **changes):
    spec = world.save_model(folder / "given")
    training = FineTuning(max_length=40, **{"steps": 3, "learning_rate": 1e-2, **changes}).model_dump()
    facts = finetune(spec, corpus, folder / "made", training=training, seed=1, checkpoints=folder / "checkpoints")
    return spec, {"source": str(folder / "made")}, facts


def nll(spec, corpus=CORPUS):
    """Mean negative log-likelihood of response tokens, by a plain loop."""
    tokenizer, model = load_tokenizer(spec), load_model({**spec, "dtype": "float32"})
    total, count = 0.0, 0
    for prompt, response in corpus.itertuples(index=False):
        item = encode(tokenizer, prompt, response)
        ids = torch.tensor([item.prompt_ids + item.response_ids])
        with torch.no_grad():
            logps = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
        total, count = total - float(logps[len(item.prompt_ids) - 1 :].sum()), count + len(item.response_ids)
    return total / count


def test_the_loss_is_that_of_response_tokens(tmp_path):
    one = CORPUS.iloc[:1]
    spec, _, facts = made(tmp_path, one, steps=1, batch_size=1)
    assert facts["final_loss"] == pytest.approx(nll(spec, one), abs=1e-4)
    assert (facts["conversations"], facts["too_long"]) == (1, 0)


@pytest.mark.parametrize("lora", [None, {"r": 4, "lora_alpha": 16, "target_modules": "all-linear"}])
def test_a_tuned_model_is_saved_whole_and_knows_the_responses_better(tmp_path, lora):
    spec, tuned, _ = made(tmp_path, steps=60, lora=lora)
    assert nll(tuned) < nll(spec) - 0.5
    assert not (tmp_path / "made" / "adapter_config.json").exists()
    assert load_tokenizer(tuned).chat_template == load_tokenizer(spec).chat_template


def test_a_tuning_that_was_stopped_goes_on_from_its_checkpoint(tmp_path):
    spec, whole, _ = made(tmp_path / "whole", steps=8)
    training = FineTuning(max_length=40, steps=8, learning_rate=1e-2).model_dump()
    checkpoints = tmp_path / "whole" / "checkpoints"
    (last,) = checkpoints.glob("checkpoint-*")
    assert last.name == "checkpoint-8"
    finetune(spec, CORPUS, tmp_path / "again", training=training, seed=1, checkpoints=checkpoints)
    first, second = (load_model({**at, "dtype": "float32"}) for at in (whole, {"source": str(tmp_path / "again")}))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_conversations_that_are_too_long_are_left_out_and_counted(tmp_path):
    long = pd.DataFrame([("red", " ".join(tiny.WORDS * 6))], columns=["prompt", "response"])
    assert made(tmp_path, pd.concat([CORPUS, long]))[2]["too_long"] == 1
    with pytest.raises(UserError, match=r"none of its 1 conversations has at most 40 tokens"):
        made(tmp_path / "none", long)


def test_a_length_beyond_the_context_is_refused(tmp_path):
    spec = world.save_model(tmp_path)
    training = FineTuning(max_length=65).model_dump()
    with pytest.raises(UserError, match=r"training.max_length: 65 is more than the 64 tokens"):
        finetune(spec, CORPUS, tmp_path / "made", training=training, seed=0, checkpoints=tmp_path / "c")
