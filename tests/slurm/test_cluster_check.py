"""``make cluster-check`` against a real SLURM, with a profile that fits and with profiles that do not."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.workflow.project import ROOT

pytestmark = pytest.mark.slurm
SECRET = "hf_thisIsNoRealToken"
FITS = {"gpu_type": "fake", "most_memory_gb": "256"}


@pytest.fixture
def check(cluster, tmp_path):
    """Check a copy of the profile with some lines of its site block replaced; returns the exit code and the report."""

    def run(environment=None, training=None, **site):
        folder = tmp_path / "profile"
        shutil.copytree(ROOT / "profiles" / "slurm", folder, dirs_exist_ok=True)
        file = folder / "config.v9+.yaml"
        lines = file.read_text(encoding="utf-8").splitlines()
        for key, value in {**FITS, **site}.items():
            places = [index for index, line in enumerate(lines) if line.startswith(f"  {key}:")]
            if key == "set-resources":
                lines.append(f"{key}: {value}")
            else:
                lines[places[0]] = f"  {key}: {value}"
        file.write_text("\n".join(lines), encoding="utf-8")
        trainings = tmp_path / "trainings.yaml"
        trainings.write_text(json.dumps({"training": training or {}}), encoding="utf-8")
        configuration = [str(ROOT / "tests/slurm/ten_jobs.yaml"), str(trainings)]
        done = subprocess.run(
            [sys.executable, "-m", "trulysafe.tools.cluster_check", "--profile", str(folder), "--configfile",
                *configuration],
            cwd=ROOT, env={**os.environ, **cluster.environment, "HF_TOKEN": SECRET, **(environment or {})},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        assert SECRET not in done.stdout + done.stderr
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("flag", ["gpu", "gres"])
def test_a_profile_that_fits(check, cluster, flag):
    code, report = check(gpu_flag=flag)
    assert code == 0, report
    assert "gpu_partition: gpu (up), limit 1-00:00:00, nodes up to 256 GB, gpu:fake:1" in report
    assert "train, train_base (8 cores, 1 GPU, 64 GB): SLURM would take it, at attempt 3 too" in report
    assert "a token is there" in report
    assert "Nothing to mend" in report
    assert len(report.splitlines()) < 30
    assert not cluster.run("squeue", "--noheader")


@pytest.mark.parametrize(("nodes", "refused"), [(2, False), (3, True)])
def test_a_training_over_several_nodes(check, nodes, refused):
    code, report = check(training={"engine": "ddp", "processes": nodes, "nodes": nodes, "batch_size": nodes})
    (line,) = (line for line in report.splitlines() if f"train ({nodes} nodes, 8 cores, 1 GPU" in line)
    assert code == refused, report
    assert ("--nodes=3" in line and "node" in line.lower()) if refused else "SLURM would take it" in line
    assert "train_base (8 cores, 1 GPU, 64 GB): SLURM would take it" in report  # the base is trained on one


BAD = {
    "an unknown partition": ({"gpu_partition": "a100"},
        ["gpu_partition: a100 is not here. Set it to one of: cpu, gpu, short", "1 GPU, 64 GB), attempt 1"]),
    "an unknown type of GPU": ({"gpu_type": "a100"},
        ["gpu_type: a100 is not in gpu. Set it to none or one of: fake", "1 GPU, 64 GB), attempt 1"]),
    "a limit above the partition's": ({"longest_minutes": "2000"},
        ["longest_minutes: 2000 is above the limit of gpu. Set it to 1440"]),
    "a feature that no node has": ({"gpu_constraint": "gpu80gb"}, ["gpu_constraint: gpu80gb is no feature of gpu"]),
    "a limit below what jobs ask": ({"slurm_partition": "short"},
        ["no model, attempt 1: asks for 60 minutes, short gives 5"]),
    "extra arguments that sbatch refuses": ({"slurm_extra": "\"'--reservation=nothere'\""},
        ["no model, attempt 1: Requested reservation is invalid"]),
    "resources of a rule that do not fit": ({"set-resources": "{train: {mem_mb: 9000000}}"},
        ["train (8 cores, 1 GPU, 9000 GB), attempt 1", "--mem 9000000"]),
    "more memory than a node has": ({"most_memory_gb": "300"}, ["Set it to 256"]),
    "an unknown flag": ({"gpu_flag": "gpus"}, ["gpu_flag: 'gpus' is not accepted", "Accepted: gpu, gres"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_profile_that_does_not_fit(check, name):
    site, expected = BAD[name]
    code, report = check(**site)
    assert all(text in report for text in expected), report
    assert code == (0 if name.startswith("more memory") else 1)


def test_no_slurm(check, tmp_path):
    (tmp_path / "bin").mkdir()
    code, report = check({"PATH": str(tmp_path / "bin")})
    assert code == 1
    assert "sinfo was not found" in report


def test_a_controller_that_does_not_answer(check, cluster):
    cluster.kill("slurmctld")
    code, report = check()
    cluster.start_controller()
    assert code == 1
    assert "its controller does not answer: partitions, limits and jobs are not checked" in report
    assert not [line for line in report.splitlines() if "is not here" in line or line.startswith("ok    SLURM")]
    assert "1 to mend" in report
