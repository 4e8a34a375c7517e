"""Whatever a column of a public data set holds is read, skipped or refused with its row."""

import pytest

from tests.unit.source_files import read
from tests.unit.source_rows import ORIGINALS
from trulysafe.common.errors import UserError
from trulysafe.data.records import Row
from trulysafe.data.sources import READERS, TEXTS, SkipRowError

HH = "\n\nHuman: p\n\nAssistant: "
WHOLE_ROWS = [
    *((kind, options, values) for kind, options, values, _ in ORIGINALS.values()),
    ("pku_saferlhf", {}, {"prompt": "p", "response_0": "r", "response_1": "s", "safer_response_id": 1,
        "is_response_0_safe": False, "is_response_1_safe": True}),
    ("beavertails_qa", {}, {"prompt": "p", "response": "r", "is_safe": True}),
    ("beavertails_risk", {}, {"question_y": "p", "category": "EHD"}),
    ("general_preference", {}, {"conversations": [{"from": "human", "value": "p"}], "chosen": {"value": "r"},
        "rejected": {"value": "s"}}),
    ("ultrafeedback", {}, {"prompt": "p", "chosen": [{"content": "p"}, {"content": "r"}],
        "rejected": [{"content": "p"}, {"content": "s"}]}),
    ("hh_rlhf", {}, {"chosen": f"{HH}r", "rejected": f"{HH}s"}),
    ("lima", {}, {"conversations": ["p", "r"]}),
    ("lima", {}, {"instruction": "p", "output": "r", "history": [["q", "s"]]}),
    ("salad_qa", {}, {"question": "p", "answer": "r", "label": 0}),
    ("xstest", {}, {"prompt": "p", "type": "homonyms"}),
    ("xstest_completions", {}, {"prompt": "p", "type": "homonyms", "completion": "r", "final_label": "2_full_refusal"}),
    ("dolly", {}, {"instruction": "p", "context": "", "response": "r", "category": "c"}),
    ("alpaca", {}, {"instruction": "p", "input": "", "output": "r"}),
]  # fmt: skip
NONSENSE = [None, True, 7, 2.5, float("nan"), "", " ", "x", [], ["x"], [None], [["x"]], [[1, 2]], {}, {"x": 1}, [{}],
    [{"from": 1, "value": 2, "content": 3}], [{"from": "human", "value": None, "content": None}] * 2]  # fmt: skip


@pytest.mark.parametrize(("kind", "options", "values"), WHOLE_ROWS)
def test_whatever_a_column_holds_is_read_skipped_or_refused_with_its_row(kind, options, values):
    options = READERS.options(kind, options)
    fields = READERS.module(kind).fields
    assert set(TEXTS[options.table_kind]) <= set(fields(Row(values, "a.jsonl: row 1"), options))
    for column in values:
        for given in ({**values, column: nonsense} for nonsense in NONSENSE):
            try:
                found = fields(Row(given, "a.jsonl: row 1"), options)
            except SkipRowError:
                continue
            except UserError as error:
                assert "a.jsonl: row 1" in str(error)  # noqa: PT017
                continue
            assert all(found[name].strip() for name in TEXTS[options.table_kind])


def test_a_label_in_words_is_not_taken_for_true(tmp_path):
    rows = "prompt,response,is_safe\np,r,False\nq,s,TRUE\nt,u,0\n"
    (tmp_path / "a.csv").write_text(rows, encoding="utf-8")
    assert read("beavertails_qa", tmp_path, path="a.csv").frame["label"].tolist() == ["unsafe", "safe", "unsafe"]
    (tmp_path / "a.csv").write_text(rows + "v,w,perhaps\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"a.csv: row 4: column 'is_safe': 'perhaps' is not accepted.*true"):
        read("beavertails_qa", tmp_path, path="a.csv")


@pytest.mark.parametrize(
    ("value", "read"), [(7, "7"), (7.0, "7"), (0, "0"), (True, "true"), (" a ", "a"), (None, ""), (float("nan"), "")]
)
def test_an_optional_column_keeps_numbers(value, read):
    row = Row({"category": value, "list": ["a"]}, "a.jsonl: row 1")
    assert row.optional("category") == read
    assert row.optional("list") == row.optional("absent") == ""
