"""What a CPU reads at once, and that it changes no result."""

from __future__ import annotations

import pytest
import torch

from tests.unit import tiny
from trulysafe.models import tokens
from trulysafe.models.representations import extract
from trulysafe.models.scoring import token_logps
from trulysafe.models.tokens import encode, passes

SAID = [(f"w{place} w1", " ".join(tiny.WORDS[place : place + 2 + place % 7])) for place in range(17)]


def test_parts_hold_at_most_so_many_padded_tokens_in_order() -> None:
    lengths = [100, 200, 200, 300, 600, 700]
    assert passes([0, 1, 2, 3, 4, 5], lengths, "cpu") == [[0, 1], [2], [3], [4], [5]]
    assert passes([5, 1], lengths, "cuda") == [[5, 1]]
    assert passes([], lengths, "cpu") == []


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_small_passes_give_what_one_large_one_does(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny.model(family), tiny.tokenizer()
    encoded = [encode(tokenizer, *one) for one in SAID]
    monkeypatch.setattr(tokens, "TOKENS_OF_A_PASS", 10**6)
    states, logps = extract(model, tokenizer, SAID, "mean"), token_logps(model, encoded, 0, 16, None)
    monkeypatch.setattr(tokens, "TOKENS_OF_A_PASS", 30)
    torch.testing.assert_close(extract(model, tokenizer, SAID, "mean"), states)
    for one, other in zip(token_logps(model, encoded, 0, 16, None), logps, strict=True):
        torch.testing.assert_close(torch.tensor(one), torch.tensor(other))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_head_at_response_places_alone_gives_the_whole_heads_log_probabilities(family: str) -> None:
    model, tokenizer = tiny.model(family), tiny.tokenizer()
    encoded = [encode(tokenizer, *one) for one in SAID]
    for item, found in zip(encoded, token_logps(model, encoded, 0, 16, None), strict=True):
        ids = torch.tensor([item.ids])
        with torch.no_grad():
            whole = model(input_ids=ids).logits[0, :-1].log_softmax(dim=-1)
        expected = whole.gather(1, ids[0, 1:, None])[len(item.prompt_ids) - 1 :, 0]
        torch.testing.assert_close(torch.tensor(found), expected)
