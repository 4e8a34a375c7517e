"""One lock behind the virtual environment, conda and Apptainer; jobs take the package from the clone that they run
in.
"""

import importlib.util
import os
import re

import pytest

from tests.workflow.project import ROOT, Project

DEFINITION = (ROOT / "envs" / "trulysafe.def").read_text(encoding="utf-8")
BOOTSTRAP = (ROOT / "envs" / "bootstrap.sh").read_text(encoding="utf-8")


def test_the_definition_installs_the_locks_with_the_same_tools():
    files = set(re.findall(r"^    (\S+) /trulysafe/\1$", DEFINITION, re.MULTILINE))
    assert files == {"requirements.lock", "requirements-gpu.lock"}
    assert files == set(re.findall(r"-r (\S+?\.lock)", DEFINITION))
    version = re.search(r"^UV_VERSION=(\S+)$", BOOTSTRAP, re.MULTILINE)
    assert version is not None
    assert f"uv=={version[1]}" in DEFINITION
    assert re.search(r"^From: python:3\.11-", DEFINITION, re.MULTILINE)
    assert "pip install" not in DEFINITION.replace("uv pip install", "").replace(
        "-m pip install --no-cache-dir uv==", ""
    )


def test_the_image_is_built_where_the_workflow_looks_for_it():
    built = set(re.findall(r"apptainer build .*?(\S+\.sif)", DEFINITION))
    used = re.findall(r'^container: "(\S+)"', (ROOT / "Snakefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert built == set(used) == {"envs/trulysafe.sif"}


def test_the_conda_file_is_made_from_the_lock():
    spec = importlib.util.spec_from_file_location("conda_from_lock", ROOT / "envs" / "conda_from_lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert (ROOT / "envs" / "trulysafe.yaml").read_text(encoding="utf-8") == module.conda_environment(lock)


@pytest.mark.slow
def test_jobs_take_the_package_of_their_own_clone(tmp_path, monkeypatch):
    project = Project(tmp_path / "project")
    source = project.folder / "src/trulysafe/workflow/job.py"
    source.write_text(source.read_text(encoding="utf-8") + "\nraise SystemExit('the copy speaks')\n", encoding="utf-8")
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    monkeypatch.setattr(project, "environment", lambda: bare)
    assert "the copy speaks" in project.snakemake("--nolock", "merged_config", fails=True)
