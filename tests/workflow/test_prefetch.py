"""A scenario of the hub through Snakemake: fetched once by the login node's jobs, then answered without a request; no
token anywhere.
"""

import json
import shutil

import pytest
import yaml

from tests.unit import tiny
from tests.unit.fake_hub import COMMIT, fake_hub
from tests.workflow.project import Project

pytestmark = pytest.mark.slow
TOKEN = "hf_" + "NotARealToken123"
ANSWERS = "results/hub/answers/untrained.base/harm/0-of-1.parquet"


def test_jobs_ask_the_hub_for_nothing_and_no_file_holds_the_token(tmp_path, monkeypatch):
    root = tmp_path / "hub"
    tiny.model("llama").save_pretrained(root / "team" / "model")
    tiny.tokenizer().save_pretrained(root / "team" / "model")
    (root / "team" / "prompts").mkdir()
    rows = "".join(json.dumps({"prompt": text}) + "\n" for text in ("w1 w2", "w3 w5 w2"))
    (root / "team" / "prompts" / "train.jsonl").write_text(rows, encoding="utf-8")
    configuration = tmp_path / "hub.yaml"
    scenario = {
        "scenario": "hub",
        "cache": str(tmp_path / "cache"),
        "models": {"big": {"source": "hub", "name": "team/model", "revision": COMMIT, "dtype": "float32"}},
        "datasets": {
            "test": {"kind": "hub", "role": "evaluation", "options": {"repo": "team/prompts", "revision": COMMIT}}
        },
        "experiments": {"base": {"model": "big"}},
        "judges": {"phrases": {"kind": "refusal_phrases"}},
        "benchmarks": {"harm": {"datasets": ["test"], "axis": "safety", "judges": ["phrases"], "max_new_tokens": 4}},
    }
    configuration.write_text(yaml.safe_dump(scenario, sort_keys=False), encoding="utf-8")
    project = Project(tmp_path / "project")
    for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    with fake_hub(root, gated="team/model") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        printed = project.snakemake("--nolock", "prefetch", configuration=configuration)
        asked = len(hub.requests)
        assert hub.tokens == {TOKEN}
        printed += project.snakemake("--nolock", ANSWERS, configuration=configuration)
        assert len(hub.requests) == asked
    record = json.loads((project.folder / "results/hub/prefetch/models/big.json").read_text(encoding="utf-8"))
    assert record["revision"] == COMMIT
    assert any(file["path"] == "model.safetensors" for file in record["files"])
    assert (project.folder / ANSWERS).is_file()
    shutil.rmtree(project.folder / "src")
    written = [file for folder in (project.folder, tmp_path / "cache") for file in folder.rglob("*") if file.is_file()]
    assert len(written) > 20
    assert not [file for file in written if TOKEN.encode() in file.read_bytes()]
    assert TOKEN not in printed
