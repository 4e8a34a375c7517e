"""Responses in blocks: the same whatever the shards; endpoints are told from the token limit. Scores are the model's
own."""

import pandas as pd
import pytest
import torch

from tests.unit import tiny
from trulysafe.common.errors import UserError
from trulysafe.common.ids import prompt_id
from trulysafe.common.schema import read_table, write_table
from trulysafe.common.state_store import load_states, save_states
from trulysafe.models.decoding import Decoding
from trulysafe.models.representations import extract, no_states
from trulysafe.models.sampling import block_numbers, blocks, generated, respond, shard, usable
from trulysafe.models.scoring import token_logps
from trulysafe.models.tokens import encode, token_count
from trulysafe.reward.model import HybridReward
from trulysafe.reward.read import read_rewards

TOKENIZER = tiny.tokenizer()
DRAWN = Decoding(samples=3, temperature=1.0, max_new_tokens=6)


def prompts(count: int) -> pd.DataFrame:
    texts = [" ".join(tiny.WORDS[index : index + 1 + index % 4]) for index in range(count)]
    rows = [
        {"prompt_id": prompt_id(text), "prompt": text, "risk": "EHD", "family": "f", "source": "s", "meta": "{}"}
        for text in texts
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


def sampled(model, work, decoding=DRAWN) -> pd.DataFrame:
    frame = pd.concat(respond(model, TOKENIZER, work, decoding, seed=0))
    return frame.sort_values(["prompt_id", "sample"], ignore_index=True)


def test_blocks_cover_every_prompt_once_in_any_input_order():
    frame = prompts(11)
    cut, shuffled = blocks(frame, 4), blocks(frame.sample(frac=1, random_state=0), 4)
    assert [len(block) for block in cut] == [4, 4, 3]
    assert [block["prompt_id"].tolist() for block in cut] == [block["prompt_id"].tolist() for block in shuffled]


def test_rows_carry_the_number_of_their_prompts_block():
    frame = prompts(5)
    rows = pd.concat([frame, frame.iloc[::-1]], ignore_index=True)
    found = dict(zip(rows["prompt_id"], block_numbers(rows, 2), strict=True))
    assert found == {prompt: place for place, block in enumerate(blocks(frame, 2)) for prompt in block["prompt_id"]}
    assert block_numbers(rows.iloc[:0], 2) == []


def test_a_cut_or_empty_sample_is_not_usable():
    samples = pd.DataFrame({"response": ["w1", "", "w2"], "finished": [True, True, False]})
    assert usable(samples)["response"].tolist() == ["w1"]


def test_another_number_of_shards_gives_the_same_samples(model):
    cut = blocks(prompts(10), 3)
    one = sampled(model, cut)
    three = sampled(model, [block for index in range(3) for block in shard(cut, index, 3)])
    pd.testing.assert_frame_equal(one, three)
    assert len(one) == 30


def test_a_shard_without_a_block_is_an_empty_table_that_goes_through_the_stages(model, tmp_path):
    empty = pd.concat(respond(None, TOKENIZER, shard(blocks(prompts(4), 3), 2, 3), DRAWN, seed=0))
    write_table(empty, tmp_path / "samples.parquet", "samples")
    read = read_table(tmp_path / "samples.parquet", "samples")
    whole = pd.concat([read, sampled(model, blocks(prompts(4), 4))], ignore_index=True)
    assert whole["tokens"].dtype == "int64"
    assert block_numbers(usable(read), 3) == []
    assert no_states(model.config).shape == (0, *extract(model, TOKENIZER, [("w1", "w2")]).shape[1:])
    save_states(tmp_path / "states", {"states": no_states(model.config)}, usable(read)[["response_id"]])
    states, index = load_states(tmp_path / "states")
    assert (states["states"].shape, len(index)) == (no_states(model.config).shape, 0)


def test_seeds_differ_between_blocks_and_runs(model):
    cut = blocks(prompts(4), 4)
    first = pd.concat(respond(model, TOKENIZER, cut, Decoding(samples=4, temperature=1.5, max_new_tokens=6), seed=0))
    other = pd.concat(respond(model, TOKENIZER, cut, Decoding(samples=4, temperature=1.5, max_new_tokens=6), seed=1))
    assert first["response"].tolist() != other["response"].tolist()


def test_unfinished_responses_are_marked(model):
    frame = sampled(model, blocks(prompts(8), 4), Decoding(samples=4, temperature=1.5, max_new_tokens=5))
    assert (frame.loc[~frame["finished"], "tokens"] == 5).all()
    assert frame["finished"].any()
    assert not frame["finished"].all()
    assert not frame["response"].str.contains(r"<pad>|<bos>|<\|end\|>").any()


def test_a_prompt_without_room_for_an_answer_is_named_before_anything_is_sampled(model):
    frame = prompts(3)
    frame.loc[2, "prompt"] = "w1 " * 60
    said = rf"prompt {frame.loc[2, 'prompt_id']} \(of s\) has 63 tokens: with max_new_tokens 6 .* context of 64"
    with pytest.raises(UserError, match=said):
        next(respond(model, TOKENIZER, blocks(frame, 1), DRAWN, seed=0))


def test_other_tokens_that_end_a_response_count_as_its_end():
    several = tiny.model("llama")
    other = TOKENIZER.convert_tokens_to_ids("w7")
    end = TOKENIZER.eos_token_id
    drawn, words = Decoding(samples=8, temperature=1.5, max_new_tokens=12), [encode(TOKENIZER, "w1 w2").prompt_ids] * 4
    several.generation_config.eos_token_id = [other, end]
    torch.manual_seed(0)
    rows = generated(several, TOKENIZER, words, drawn)
    several.generation_config.eos_token_id = end
    torch.manual_seed(0)
    only = generated(several, TOKENIZER, words, drawn)
    assert any(other in row for row in only)
    assert not any(other in row for row in rows)
    assert all(row[-1] == end or len(row) == 12 for row in rows)
    ended = [(row, [*cut[: cut.index(other)], end]) for row, cut in zip(rows, only, strict=True) if other in cut]
    assert all(row == expected for row, expected in ended)


def test_generated_rows_end_with_the_end_of_turn_and_the_model_can_still_train():
    model = tiny.model("llama")
    asked = [encode(TOKENIZER, prompt).prompt_ids for prompt in ("w1 w2 w3", "w4")]
    torch.manual_seed(0)
    rows = generated(model, TOKENIZER, asked, Decoding(samples=32, temperature=3.0, max_new_tokens=5))
    assert len(rows) == 64
    ended = [row for row in rows if TOKENIZER.eos_token_id in row]
    assert 0 < len(ended) < 64
    assert all(row.index(TOKENIZER.eos_token_id) == len(row) - 1 for row in ended)
    assert all(len(row) == 5 for row in rows if row not in ended)
    model(input_ids=torch.tensor([asked[0] + rows[0]])).logits.sum().backward()


def test_greedy_answers_are_those_of_single_prompts(model):
    frame = prompts(6)
    together = sampled(model, blocks(frame, 6, by_length=True), Decoding(max_new_tokens=6))
    apart = sampled(model, blocks(frame, 1), Decoding(max_new_tokens=6))
    assert together["response"].tolist() == apart["response"].tolist()


CONVERSATIONS = [("w1 w2", "w3"), ("w4", "w5 w6 w7 w8"), ("w9 w10 w11", "w12 w13")]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_token_log_probabilities_are_the_models_own_in_any_batch(family):
    model = tiny.model(family)
    encoded = [encode(TOKENIZER, *conversation) for conversation in CONVERSATIONS]
    found = token_logps(model, encoded, TOKENIZER.pad_token_id, batch_size=2)
    for item, logps in zip(encoded, found, strict=True):
        ids = torch.tensor([item.prompt_ids + item.response_ids])
        with torch.no_grad():
            full = torch.log_softmax(model(input_ids=ids).logits[0], dim=-1)
        places = range(len(item.prompt_ids) - 1, ids.shape[1] - 1)
        expected = [float(full[place, ids[0, place + 1]]) for place in places]
        assert logps == pytest.approx(expected, abs=1e-4)


def test_rewards_are_read_at_the_endpoint_and_after_every_token(model):
    torch.manual_seed(0)
    reward = HybridReward(tiny.LAYERS, tiny.WIDTH)
    encoded = [encode(TOKENIZER, *conversation) for conversation in CONVERSATIONS]
    for item, read in zip(
        encoded, read_rewards(model, encoded, TOKENIZER.pad_token_id, 3, reward, reward), strict=True
    ):
        ids = torch.tensor([item.prompt_ids + item.response_ids])
        with torch.no_grad():
            states = torch.stack(model(input_ids=ids, output_hidden_states=True).hidden_states[1:], dim=2)[0]
            expected = reward(states[len(item.prompt_ids) :])
        assert read.token_values == pytest.approx(expected.tolist(), abs=1e-4)
        assert read.endpoint == pytest.approx(float(expected[-1]), abs=1e-4)


def test_encoding_has_one_bos_and_ends_the_turn():
    item = encode(TOKENIZER, "w1 w2", "w3")
    assert (item.prompt_ids + item.response_ids).count(TOKENIZER.bos_token_id) == 1
    assert item.response_ids[-1] == TOKENIZER.eos_token_id
    assert encode(TOKENIZER, "w1 w2").prompt_ids == item.prompt_ids
    assert token_count(TOKENIZER)("w1 w2", "w3") == len(item.prompt_ids) + len(item.response_ids)
