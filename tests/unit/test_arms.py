"""Tables with one line per arm: order, labels, and what an arm lacks."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from trulysafe.report.run import bases_of, in_order, label_of
from trulysafe.report.table import spread

ARMS = {"base": {"label": "Base model"}, "late": {"label": "", "base": "base"}, "early": {"base": "base"}, "never": {}}
CELLS = pd.DataFrame(
    [
        ("early", "Safe", "0.9", 2),
        ("late", "Helpful", "0.8", 1),
        ("late", "Safe", "0.7", 1),
        ("unknown", "Safe", "0.1", 1),
        ("base", "Safe", "0.2", 3),
    ],
    columns=["experiment", "column", "cell", "seeds"],
)


def test_lines_are_in_the_order_of_the_arms_and_empty_where_nothing_was_measured():
    table = spread(in_order(CELLS, ARMS), ("Safe", "Malformed", "Helpful"), {"label": "Arm", "seeds": "Seeds"})
    assert table.columns.tolist() == ["Arm", "Seeds", "Safe", "Helpful"]
    assert table.to_numpy().tolist() == [
        ["Base model", 3, "0.2", ""],
        ["late", 1, "0.7", "0.8"],
        ["early", 2, "0.9", ""],
    ]


def test_two_cells_of_one_place_are_an_error():
    with pytest.raises(ValueError, match="duplicate"):
        spread(pd.concat([CELLS, CELLS]), ("Safe",), {"seeds": "Seeds"})


def test_an_arm_without_a_label_has_its_name():
    assert [label_of(ARMS, name) for name in (*ARMS, "unknown")] == ["Base model", "late", "early", "never", "unknown"]
    assert bases_of(ARMS) == ["base"]


def test_tables_need_no_matplotlib():
    code = (
        "import sys\nfrom trulysafe.report.listed import TABLES\n[TABLES.module(name) for name in "
        "TABLES.names]\nassert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
