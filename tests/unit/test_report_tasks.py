"""The table of benchmark tasks, one by one."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.unit.report_world import ARMS, run_of, texts
from trulysafe.evaluate.metrics import metric_rows
from trulysafe.report.tables import tasks

JUDGES = {"quiz": "acc_norm", "sums": "exact_match,flexible-extract"}


def verdicts() -> pd.DataFrame:
    """Choices in one task and written answers in another, each by two judges, of a base model and an arm."""
    others = {"quiz": "acc", "sums": "exact_match,strict-match"}
    rows = [
        {"experiment": arm, "benchmark": task, "judge": judge, "prompt_id": f"{task} {place}", "correct": place < count}
        for arm, right in (("base", 2), ("arm_0", 4))
        for task, main in JUDGES.items()
        for judge, count in ((main, right + (task == "sums")), (others[task], 0))
        for place in range(8)
    ]
    known = {"quiz": "chosen", "sums": "written"}
    found = pd.DataFrame(rows).assign(seed=0, step=0, risk="general", family="", cut_off=False)
    return found.assign(verdict=found["benchmark"].map(known))


def test_each_task_has_a_line_with_the_metric_that_counts() -> None:
    about = {name: {"axis": "helpfulness", "judge": judge} for name, judge in JUDGES.items()}
    run = run_of(metrics=metric_rows(verdicts(), about, "x"))
    assert tasks.table(run) is None
    run.benchmarks = {name: {**of, "purpose": "test", "task": True} for name, of in about.items()}
    found = tasks.table(run)
    assert found is not None
    shown = texts(found.shown)
    assert list(shown.columns) == ["Task", "Metric", ARMS["base"]["label"], ARMS["arm_0"]["label"]]
    assert shown[["Task", "Metric"]].to_numpy().tolist() == [
        ["quiz", "acc norm"],
        ["sums", "exact match,flexible-extract"],
    ]
    values = found.numbers.set_index(["benchmark", "experiment"])["value"]
    assert values.to_dict() == {
        ("quiz", "base"): pytest.approx(2 / 8),
        ("quiz", "arm_0"): pytest.approx(4 / 8),
        ("sums", "base"): pytest.approx(3 / 8),
        ("sums", "arm_0"): pytest.approx(5 / 8),
    }
    assert set(found.numbers["n"]) == {8}
