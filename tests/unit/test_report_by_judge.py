"""The table of every arm under every judge."""

from __future__ import annotations

import pandas as pd

from tests.unit.report_world import BENCHMARKS, run_of, texts, verdicts_of_arms
from trulysafe.evaluate.metrics import metric_rows
from trulysafe.report.tables import by_judge


def test_each_judge_has_a_column_where_an_axis_has_several() -> None:
    verdicts = verdicts_of_arms()
    strict = verdicts[verdicts["benchmark"] == "harmful"].assign(judge="strict", verdict="complies")
    metrics = metric_rows(pd.concat([verdicts, strict], ignore_index=True), BENCHMARKS, "x")
    found = by_judge.table(run_of(metrics=metrics))
    assert found is not None
    shown = texts(found.shown)
    assert list(shown.columns) == ["Arm", "Safe, oracle", "Safe, strict"]
    assert shown["Safe, strict"].str.startswith("0.00").all()
    main = metrics[(metrics["judge"] == "main") & (metrics["benchmark"] == "test/safety") & (metrics["risk"] == "all")]
    main = main[(main["seed"] == -1) & (main["metric"] == "safe") & (main["experiment"] == "arm_1")]
    oracle = found.numbers[(found.numbers["judge"] == "oracle") & (found.numbers["experiment"] == "arm_1")]
    assert oracle["value"].tolist() == [main.loc[main["step"].idxmax(), "value"]]


def test_one_judge_alone_makes_no_table() -> None:
    assert by_judge.table(run_of(metrics=metric_rows(verdicts_of_arms(), BENCHMARKS, "x"))) is None
