"""The benchmark on real hidden states: its core on tiny invented ones, and the fitting it speaks for on the real
ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from benchmarks.crossval import candidate_difference, compare_rewards, summarise
from safetensors.numpy import save_file

from tests.unit.real_data import FOLDER
from trulysafe.common.errors import UserError
from trulysafe.reward.baselines import hybrid, mean_of_layers, single_layer

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "real_states.py"
STATES = FOLDER / "llama2_7b_hidden_states"
LAYERS = [2, 4]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_states", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny(count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """The second layer tells the classes apart; pair 1 repeats pair 0's safe response."""
    safe, unsafe = np.random.default_rng(0).normal(size=(2, count, len(LAYERS), 12)).astype(np.float32)
    safe[:, 1] += 0.8
    safe[1] = safe[0]
    return safe, unsafe


def write(folder: Path, **changes: np.ndarray) -> None:
    for side, states in zip(("safe", "unsafe"), tiny(), strict=True):
        stored = {
            "hidden_states": states.astype(np.float16),
            "sample_index": np.arange(24),
            "layer_index": np.array(LAYERS),
        }
        save_file(stored | (changes if side == "unsafe" else {}), folder / f"{side}_first100.safetensors")


def test_from_files_to_the_report(benchmark: ModuleType, tmp_path: Path) -> None:
    write(tmp_path)
    safe, unsafe, layers = benchmark.read_states(tmp_path)
    assert layers == LAYERS
    groups = benchmark.duplicate_groups(safe, unsafe)
    assert groups[0] == groups[1]
    assert len(set(groups)) == 23
    candidates = benchmark.all_candidates(layers, {"hybrid: package default": {"epochs": 5}})
    kept = tmp_path / "rewards.csv"
    rewards = benchmark.measure(safe, unsafe, candidates, kept, groups=groups, folds=3, repeats=2)
    assert len(rewards) == len(candidates) * 2 * 24
    stamp = kept.read_bytes()
    again = benchmark.measure(safe, unsafe, candidates, kept, groups=groups, folds=3, repeats=2)
    assert kept.read_bytes() == stamp
    text = benchmark.write_report(again, groups, layers, tmp_path)
    assert "24 pairs in 23 groups; 3 outer folds, at most 2 divisions" in text
    table = pd.read_csv(tmp_path / "accuracies.csv").set_index("candidate")
    assert list(table.index) == list(candidates)
    assert table["auc"]["layer 4"] > 0.8 > table["auc"]["layer 2"]
    found = pd.read_csv(tmp_path / "less_best_layer.csv").set_index(["candidate", "measure"])
    expected = table["auc"][benchmark.MEAN] - table["auc"][benchmark.BEST]
    assert found["difference"][benchmark.MEAN, "auc"] == pytest.approx(expected, abs=2e-4)
    found = pd.read_csv(tmp_path / "less_default.csv").set_index(["candidate", "measure"])
    expected = table["auc"][benchmark.BEST] - table["auc"][benchmark.DEFAULT]
    assert found["difference"][benchmark.BEST, "auc"] == pytest.approx(expected, abs=2e-4)
    assert (tmp_path / "layers.png").is_file()


def test_bad_files(benchmark: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="file not found"):
        benchmark.read_states(tmp_path)
    write(tmp_path, layer_index=np.array([2, 6]))
    with pytest.raises(UserError, match="differ in layer_index"):
        benchmark.read_states(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not STATES.is_dir(), reason=f"no real hidden states in {STATES}; set TRULYSAFE_DATA")
def test_hybrid_that_starts_from_probes_keeps_up_with_a_good_layer(benchmark: ModuleType) -> None:
    safe, unsafe, layers = benchmark.read_states(STATES)
    groups = benchmark.duplicate_groups(safe, unsafe)
    assert len(set(groups)) == 97
    candidates = {
        "hybrid": hybrid(initialise="probes", trained="gates", epochs=10, calibrate=False, validation_share=0.0),
        "mean": mean_of_layers,
        "layer 20": single_layer(layers.index(20)),
    }
    rewards = compare_rewards(safe, unsafe, candidates, groups=groups.tolist(), folds=5)
    table = summarise(rewards).set_index("candidate")
    assert table["auc"]["hybrid"] > 0.78
    assert abs(table["auc"]["hybrid"] - table["auc"]["mean"]) < 0.02
    assert candidate_difference(rewards, "hybrid", "layer 20", "auc").high > 0
