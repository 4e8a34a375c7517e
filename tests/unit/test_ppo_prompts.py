"""The data set of PPO, made of texts alone."""

from __future__ import annotations

import pandas as pd
import pytest

from trulysafe.common.errors import UserError
from trulysafe.models.tokens import encode
from trulysafe.train.run_data import META, PROMPT, prompt_set

TEXTS = pd.DataFrame({
    "pair_id": ["a", "b", "c"], "prompt": ["w1 w2", "w3", "w1 w2"], "chosen": ["w4", "w5", "w6"],
    "rejected": ["w7", "w8", "w9"], "meta": ["{}", '{"x": 1}', "{}"], "risk": ["EHD", "general", "IHD"],
})  # fmt: skip


def mix(*pairs: str) -> pd.DataFrame:
    return pd.DataFrame({"pair_id": [*pairs], "risk": TEXTS.set_index("pair_id").loc[[*pairs], "risk"].tolist()})


def test_rows_are_those_of_the_mix_in_its_order_with_prompts_in_the_chat_template(tokenizer):
    found = prompt_set(mix("b", "c", "a"), TEXTS, tokenizer)
    assert found["pair_id"] == ["b", "c", "a"]
    assert found["in_scope"] == [False, True, True]
    assert prompt_set(mix("b", "c"), TEXTS, tokenizer, "all")["in_scope"] == [True, True]
    assert found["prompt_ids"] == [encode(tokenizer, prompt).prompt_ids for prompt in ("w3", "w1 w2", "w1 w2")]
    assert (found[PROMPT], found[META]) == (["w3", "w1 w2", "w1 w2"], ['{"x": 1}', "{}", "{}"])
    assert not any("chosen" in name or "rejected" in name for name in found.column_names)


def test_a_mix_without_pairs_or_of_unknown_ones_is_refused(tokenizer):
    with pytest.raises(UserError, match="The mix holds no pairs"):
        prompt_set(mix("a").head(0), TEXTS, tokenizer)
    with pytest.raises(UserError, match="1 pairs of the mix have no texts, first c"):
        prompt_set(mix("a", "c"), TEXTS.head(2), tokenizer)
