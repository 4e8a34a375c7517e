"""Results kept as CSV."""

from pathlib import Path

import pandas as pd
import pytest

from trulysafe.common.csv_files import read_csv
from trulysafe.methods.confidence import mean_logged_confidence


@pytest.mark.parametrize("name", ["None", "1", "nan", "NA", "007", "true"])
def test_an_experiment_keeps_its_name_whatever_it_looks_like(tmp_path: Path, name: str) -> None:
    written = pd.DataFrame({"experiment": name, "seed": 0, "step": [1, 2], "name": "confidence", "value": [0.5, 0.7]})
    written.to_csv(tmp_path / "log.csv", index=False)
    read = read_csv(tmp_path / "log.csv")
    assert set(read["experiment"]) == {name}
    assert mean_logged_confidence(read, name) == pytest.approx(0.6)


def test_only_an_empty_cell_is_missing(tmp_path: Path) -> None:
    pd.DataFrame({"experiment": ["a", "b"], "value": [None, 1.0]}).to_csv(tmp_path / "log.csv", index=False)
    assert read_csv(tmp_path / "log.csv")["value"].isna().tolist() == [True, False]
