"""Kept tokens: what the rule keeps, shown token by token, and never a harmful pair."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.unit import tiny
from tests.unit.report_world import run_of
from trulysafe.common.errors import UserError
from trulysafe.common.ids import content_id
from trulysafe.common.schema import check_table
from trulysafe.methods.method import Mask
from trulysafe.report.figures import kept_tokens as figure_of_kept_tokens
from trulysafe.report.run import Run
from trulysafe.report.tables import kept_tokens as page_of_kept_tokens
from trulysafe.reward.kept_tokens import COLUMNS, kept_tokens
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
    return (
        check_table(pairs, "pairs", "t"),
        reference,
        pd.DataFrame({"pair_id": ids, "chosen_token_values": values, "rejected_token_values": values}),
    )


@pytest.fixture(scope="module")
def table(tables) -> pd.DataFrame:
    return kept_tokens(*tables, TokenScale("level", 1.0, 2.0), Mask(rule="hysteresis", eos="rule"), tiny.tokenizer())


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
    many = kept_tokens(*tables, TokenScale("level", 0, 1), Mask(rule="threshold"), tiny.tokenizer(), examples=99)
    assert set(many["risk"]) == {"look_alike", "general"}
    assert many["example"].max() == 5
    harmful = tables[0][tables[0]["risk"].isin(["EHD", "IHD", "MHD"])]
    with pytest.raises(UserError, match="no pair of the classes look_alike, general"):
        kept_tokens(harmful, *tables[1:], TokenScale("level", 0, 1), Mask(rule="threshold"), tiny.tokenizer())


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
