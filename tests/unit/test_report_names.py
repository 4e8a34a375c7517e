"""Names that look like numbers, or like nothing, stay names where the report reads them."""

from pathlib import Path

import pandas as pd
import pytest

from trulysafe.report.run import Run


@pytest.mark.parametrize("name", ["1", "007", "1e3", "None", "null", "nan", "NA", "True"])
def test_any_name_stays_a_text(tmp_path: Path, name: str) -> None:
    path, column = tmp_path / "rows.csv", [name, name]
    pd.DataFrame({"judge": column, "experiment": column, "a": column, "value": [0.5, None]}).to_csv(path, index=False)
    run = Run({"people": path, "contrasts": path, "pairwise": path}, {"arms": {}})
    for read in (run.people, run.contrasts, run.pairwise):
        assert read[["judge", "experiment", "a"]].to_numpy().tolist() == [[name] * 3] * 2
        assert read["value"].isna().tolist() == [False, True]


def test_a_token_may_be_a_text_that_looks_like_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('token,value\nnan,1\n"",2\n" ",3\n', encoding="utf-8")
    assert Run({"kept_tokens": path}, {"arms": {}}).kept_tokens["token"].tolist() == ["nan", "", " "]
