"""The profile for SLURM, as far as it can be tested without one; tests/slurm has the rest."""

import re
import shutil
import subprocess

import pytest

from tests.workflow.project import ROOT, Project

PROFILE = ROOT / "profiles" / "slurm" / "config.v9+.yaml"


def test_link_makes_the_profile_known_by_its_name():
    assert str((ROOT / "slurm").readlink()) == "profiles/slurm"
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--stage", "slurm"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert listed.stdout.startswith("120000")


def test_every_entry_says_why():
    lines = PROFILE.read_text(encoding="utf-8").splitlines()
    site = lines[: next(index for index, line in enumerate(lines) if "end of your site" in line)]
    assert all("  # " in line for line in site if re.match(r"  (# )?\w+: ", line))
    for index, line in enumerate(lines):
        if re.match(r"[a-z-]+:", line) and line not in ("default-resources:", "group-components:"):
            above = lines[index - 1]
            assert above.startswith("#") or re.match(r"[a-z-]+:", above), f"{line} has no reason above it"


def test_jobs_ask_by_size_and_site(tmp_path):
    project = Project(tmp_path / "project")
    shutil.move(project.folder / "slurm", tmp_path / "copy")
    (project.folder / "slurm").symlink_to("profiles/slurm")
    output = project.snakemake("--dry-run", "--profile", "slurm", "--config", "models={tiny: {size: 8b}}")
    assert "Using profiles slurm and workflow specific profile profiles/default" in output
    asked = dict(
        re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):\n(?:    .*\n)*?    resources: (.*)$", output, re.MULTILINE)
    )
    train = dict(item.split("=", 1) for item in asked["train"].split(", "))
    assert {
        "gpu": "1",
        "slurm_partition": "gpu",
        "cpus_per_task": "8",
        "mem_mb": "96000",
        "runtime": "720",
    }.items() <= train.items()
    assert train["slurm_extra"] == "--signal=TERM@300"
    light = dict(item.split("=", 1) for item in asked["split"].split(", "))
    assert {"slurm_partition": "cpu", "mem_mb": "4000", "runtime": "60"}.items() <= light.items()
    assert "gpu" not in light
