"""Kept tokens: what the rule keeps, shown token by token, and never a harmful pair."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pandas as pd
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from tests.unit import tiny
from tests.unit.report_world import run_of
from trulysafe.common.errors import UserError
from trulysafe.common.ids import content_id
from trulysafe.common.schema import check_table
from trulysafe.data.demo.oracle import sides
from trulysafe.data.demo.world import build_world, prompts
from trulysafe.methods.parts import Mask
from trulysafe.report.figures import kept_tokens as figure_of_kept_tokens
from trulysafe.report.run import Run
from trulysafe.report.tables import kept_tokens as page_of_kept_tokens
from trulysafe.report.tables import mask_against_oracle
from trulysafe.reward.kept_tokens import COLUMNS, kept_tokens
from trulysafe.reward.mask_scores import mask_scores
from trulysafe.reward.masked_pairs import joined
from trulysafe.reward.token_scale import TokenScale

RISKS = ("EHD", "look_alike", "IHD", "general", "MHD", "other", "look_alike", "general", "look_alike")
READINGS = [0.4, -0.2, -0.57, 0.05, 0.02, 0.48, 0.17]  # of the released figure


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    ids = [content_id(number) for number in range(len(RISKS))]
    pairs = pd.DataFrame(
        {
            "pair_id": ids, "prompt_id": ids, "prompt": [f"w{n} <b> {risk}" for n, risk in enumerate(RISKS)],
            "chosen": "x",
            "rejected": "y", "chosen_reward": 1.0, "rejected_reward": 0.0, "risk": RISKS,
        }
    )  # fmt: skip
    sides = [[6, 7, 8, 9, 10, 11, 2], [12, 13, 14, 15, 16, 17, 2]]
    reference = pd.DataFrame({"pair_id": ids[::-1], "chosen_ids": [sides[0]] * 9, "rejected_ids": [sides[1]] * 9})
    values = [[2 * value + 1 for value in READINGS]] * 9
    return joined(
        check_table(pairs, "pairs", "t"),
        reference,
        pd.DataFrame({"pair_id": ids, "chosen_token_values": values, "rejected_token_values": values}),
    )


@pytest.fixture(scope="module")
def table(tables) -> pd.DataFrame:
    return kept_tokens(tables, TokenScale("level", 1.0, 2.0), Mask(rule="hysteresis", eos="rule"), tiny.tokenizer())


def test_shows_what_the_rule_keeps(table: pd.DataFrame) -> None:
    assert list(table.columns) == COLUMNS
    for (_, side), rows in table.groupby(["example", "side"]):
        assert rows["place"].tolist() == [1, 2, 3, 4, 5, 6, 7]
        assert rows["reward"].tolist() == pytest.approx(READINGS, abs=1e-6)
        assert rows["state"].tolist() == [1, 1, -1, -1, -1, 1, 1]
        expected = [True, True, False, False, False, True, True]
        assert rows["kept"].tolist() == (expected if side == "chosen" else [not kept for kept in expected])
    chosen = table[(table["example"] == 1) & (table["side"] == "chosen")]
    assert chosen["token"].tolist() == ["w0", "w1", "w2", "w3", "w4", "w5", "<|end|>"]


def test_harmful_pairs_are_never_shown(tables, table: pd.DataFrame) -> None:
    assert table.drop_duplicates("example")["risk"].tolist() == ["look_alike", "general", "look_alike", "general"]
    many = kept_tokens(tables, TokenScale("level", 0, 1), Mask(rule="threshold"), tiny.tokenizer(), examples=99)
    assert set(many["risk"]) == {"look_alike", "general"}
    assert many["example"].max() == 5
    harmful = tables[tables["risk"].isin(["EHD", "IHD", "MHD"])]
    with pytest.raises(UserError, match="no pair of the classes look_alike, general"):
        kept_tokens(harmful, TokenScale("level", 0, 1), Mask(rule="threshold"), tiny.tokenizer())


def test_figure_and_page_hold_the_table(table: pd.DataFrame, tmp_path) -> None:
    run = run_of({}, kept_tokens=table)
    paths = figure_of_kept_tokens.figure(run).write(tmp_path / "kept_tokens")
    assert [path.suffix for path in paths] == [".pdf", ".png", ".csv"]
    read = Run({"kept_tokens": [paths[2]]}, {"arms": {}}).kept_tokens
    pd.testing.assert_frame_equal(read, table, check_dtype=False, atol=1e-6)
    page = page_of_kept_tokens.table(run).write(tmp_path / "kept_tokens")[0].read_text(encoding="utf-8")
    assert page.count('class="t ') == len(table)
    assert page.count(' k"') == table["kept"].sum()
    assert "&lt;b&gt;" in page
    assert "<b> " not in page
    assert "reward -0.570, state -1" in page
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in figure_of_kept_tokens.figure(run).write(tmp_path / "again")] == first


@pytest.fixture(scope="module")
def scored() -> tuple[pd.DataFrame, list[int]]:
    """Scores on two pairs of the demo world: rewards know every word's side in the first, and err on all in the other;
    and numbers of words, of the unsafe and of the safe sentence."""
    prompt, world = prompts(0)["EHD", "test"][0], build_world(0)
    body = world.topic("EHD", prompt.topic).bodies[0].format(x=prompt.entity)
    warning, opener = world.answers["reasons"][0], world.answers["openers"][0]
    texts = {"chosen": f"{opener} {warning} {body}", "rejected": f"{body} {warning}"}
    tokenizer = words_of(texts.values())
    ids = {side: tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for side, text in texts.items()}
    truth = {side: [*sides_of_words(prompt.meta, text), 0] for side, text in texts.items()}
    pairs = pd.DataFrame({"pair_id": ["a", "b"], "risk": ["EHD", "IHD"], "meta": json.dumps(prompt.meta), **texts})
    reference = pd.DataFrame({"pair_id": ["b", "a"], **{f"{side}_ids": [ids[side]] * 2 for side in ids}})
    known = {f"{side}_token_values": [truth[side], [-value for value in truth[side]]] for side in ids}
    values = pd.DataFrame({"pair_id": ["a", "b"], **known})
    scores = mask_scores(joined(pairs, reference, values), TokenScale("level", 0, 1), Mask(rule="threshold"), tokenizer)
    return scores, [len(body.split()), len(warning.split())]


class TestAgainstTheOracle:
    def test_a_reward_that_knows_the_sides_keeps_what_speaks_for_the_label(self, scored) -> None:
        rows, (body, warning) = scored
        known = rows[rows["risk"] == "EHD"].set_index("side")
        assert (known[["precision", "recall", "dropped", "auc"]] == 1).all(axis=None)
        assert known["tokens"].tolist() == [body + warning] * 2
        assert known["speaking"].tolist() == pytest.approx([warning / (body + warning), body / (body + warning)])
        assert known["kept"].tolist() == pytest.approx(known["speaking"].tolist())

    def test_a_reward_that_is_wrong_keeps_the_others(self, scored) -> None:
        wrong = scored[0][scored[0]["risk"] == "IHD"]
        assert (wrong[["precision", "recall", "dropped", "auc"]] == 0).all(axis=None)

    def test_classes_are_pooled_first(self, scored) -> None:
        rows, (body, warning) = scored
        assert list(rows.columns) == [*"side risk responses tokens speaking kept precision recall dropped auc".split()]
        assert rows[["side", "risk"]].to_numpy().tolist() == [
            [side, risk] for side in ("chosen", "rejected") for risk in ("all", "EHD", "IHD")
        ]
        both = rows[rows["risk"] == "all"].set_index("side")
        assert both["responses"].tolist() == [2, 2]
        assert both["recall"].tolist() == [0.5, 0.5]
        assert both["precision"].tolist() == pytest.approx([warning / (body + warning), body / (body + warning)])

    def test_the_table_has_a_line_per_side_and_class(self, scored) -> None:
        table = mask_against_oracle.table(run_of({}, mask_scores=scored[0]))
        assert table.shown["Risk"].tolist() == ["all", "EHD", "IHD"] * 2
        assert str(table.shown["Others dropped"].iloc[1]) == "1.00"
        assert mask_against_oracle.table(run_of({}, mask_scores=pd.DataFrame())) is None


def sides_of_words(meta: dict, text: str) -> list[int]:
    """The oracle's side of each word."""
    ends = [end for end in range(len(text)) if end + 1 == len(text) or text[end + 1] == " "]
    return [sides(meta, text)[end] for end in ends]


def words_of(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word."""
    words = sorted({word for text in texts for word in text.split()})
    core = Tokenizer(WordLevel({"</s>": 0, "?": 1, **{word: 2 + place for place, word in enumerate(words)}}, "?"))
    core.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", clean_up_tokenization_spaces=False)
