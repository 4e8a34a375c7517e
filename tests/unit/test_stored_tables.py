"""Tables and hidden states on disk: what is written is read again, and faults are named."""

import pandas as pd
import pytest
import torch

from trulysafe.common.errors import UserError
from trulysafe.common.schema import read_table, write_table
from trulysafe.common.state_store import load_states, save_states


def test_states_round_trip_and_refuse_what_is_not_finite(tmp_path):
    index = pd.DataFrame({"response_id": ["a", "b"]})
    save_states(tmp_path / "s", {"states": torch.ones(2, 3, 4)}, index)
    arrays, read = load_states(tmp_path / "s")
    assert arrays["states"].shape == (2, 3, 4)
    assert read.equals(index)
    with pytest.raises(UserError, match="row 1 holds NaN"):
        save_states(tmp_path / "t", {"states": torch.tensor([[[1.0]], [[float("nan")]]])}, index)
    (tmp_path / "s" / "states.safetensors").write_bytes(b"half")
    with pytest.raises(UserError, match="rerun the rule"):
        load_states(tmp_path / "s")


def test_tables_name_the_missing_column_and_the_empty_row(tmp_path):
    good = {"prompt_id": ["1", "2"], "prompt": ["a", "b"]}
    write_table(pd.DataFrame(good), tmp_path / "t.parquet", "prompts")
    assert read_table(tmp_path / "t.parquet", "prompts")["meta"].tolist() == ["{}", "{}"]
    with pytest.raises(UserError, match=r"column 'prompt' is missing"):
        write_table(pd.DataFrame({"prompt_id": ["1"]}), tmp_path / "u.parquet", "prompts")
    with pytest.raises(UserError, match=r"row 1, column 'prompt' is empty"):
        write_table(pd.DataFrame({**good, "prompt": ["a", None]}), tmp_path / "u.parquet", "prompts")
    (tmp_path / "t.parquet").write_bytes(b"half")
    with pytest.raises(UserError, match="rerun the rule"):
        read_table(tmp_path / "t.parquet", "prompts")
