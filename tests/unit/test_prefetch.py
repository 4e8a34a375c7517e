"""Fetching from a hub (one that this machine serves): what is fetched, what is refused, where the token goes, and
working offline."""

import json
import os
import subprocess
import sys

import pytest

from tests.unit import tiny
from tests.unit.fake_hub import COMMIT, fake_hub
from trulysafe.common.errors import UserError
from trulysafe.config.load import load
from trulysafe.plan.checks import check_inputs
from trulysafe.plan.plan import Plan
from trulysafe.prefetch import hub as prefetch
from trulysafe.prefetch.hub import environment, forget_tokens, redacted, unpinned, wanted

TOKEN = "hf_" + "NotARealToken123"
FETCH = """
import json, sys
from trulysafe.common.errors import UserError
from trulysafe.prefetch.hub import fetch, go_online
try:
    go_online()
    print(json.dumps(fetch(*sys.argv[1:4], sys.argv[4:])))
except UserError as error:
    print(f"UserError: {error}")
"""
READ = """
import json
from trulysafe.data import read as data
from trulysafe.models.load import load_model, load_tokenizer
spec = {{"source": "team/model", "revision": "{commit}"}}
frame, kind, _ = data.read("hub", {{"repo": "team/pairs", "revision": "{commit}", "files": ["data/*.jsonl"],
    "columns": {{"chosen": "good", "rejected": "bad"}}}})
print(json.dumps([load_model(spec).num_parameters(), len(load_tokenizer(spec)), kind, frame["chosen"].tolist()]))
"""


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    """A model with safetensors, pickled weights and code beside them, and a data set."""
    root = tmp_path_factory.mktemp("hub")
    model = root / "team" / "model"
    tiny.model("llama").save_pretrained(model)
    tiny.tokenizer().save_pretrained(model)
    for name in ("pytorch_model.bin", "modeling.py", "original.pth"):
        (model / name).write_bytes(b"not to be fetched")
    (root / "team" / "pairs" / "data").mkdir(parents=True)
    rows = [{"prompt": f"p{number}", "good": "g", "bad": "b"} for number in range(3)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "team" / "pairs" / "data" / "train.jsonl").write_text(text, encoding="utf-8")
    (root / "team" / "pairs" / "loader.py").write_text("raise SystemExit", encoding="utf-8")
    return root


def python(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**clean, **variables}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_what_was_fetched_is_read_without_a_network(repositories, tmp_path):
    cache = environment(str(tmp_path / "cache"), fetched=True)
    with fake_hub(repositories) as hub:
        found = {}
        for kind, repo in (("model", "team/model"), ("dataset", "team/pairs")):
            done = python(FETCH, repo, COMMIT, kind, HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN, **cache)
            found[kind] = json.loads(done.stdout)
            assert TOKEN not in done.stdout + done.stderr
        assert hub.tokens == {TOKEN}
        asked = len(hub.requests)
        read = python(READ.format(commit=COMMIT), HF_ENDPOINT=hub.url, **cache)
        assert len(hub.requests) == asked
    assert read.returncode == 0, read.stderr
    names = {file["path"] for file in found["model"]["files"]}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= names
    assert not {"pytorch_model.bin", "modeling.py", "original.pth"} & names
    assert [file["path"] for file in found["dataset"]["files"]] == ["data/train.jsonl"]
    assert all(len(file["sha256"]) == 64 for file in found["model"]["files"])
    parameters, words, kind, chosen = json.loads(read.stdout.splitlines()[-1])
    assert (parameters, words, kind) == (tiny.model("llama").num_parameters(), len(tiny.tokenizer()), "pairs")
    assert chosen == ["g"] * 3


ANSWERS = {
    "a gated repository": (("team/model", COMMIT), ["GatedRepoError", "Accept its licence", "HF_TOKEN"]),
    "an unknown revision": (("team/pairs", "f" * 40), ["RevisionNotFoundError", "git ls-remote"]),
    "an unknown repository": (("team/nothing", COMMIT), ["RepositoryNotFoundError", "Check the name"]),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_cannot_be_fetched_is_explained(repositories, tmp_path, case):
    (repo, revision), expected = ANSWERS[case]
    with fake_hub(repositories, gated="team/model") as hub:
        kind = "dataset" if repo == "team/pairs" else "model"
        done = python(FETCH, repo, revision, kind, HF_ENDPOINT=hub.url, HF_HUB_CACHE=str(tmp_path))
    assert done.stdout.startswith("UserError: ")
    assert all(text in done.stdout for text in expected), done.stdout


def test_a_user_who_asked_to_stay_offline_is_told(tmp_path):
    asked = {prefetch.ASKED_OFFLINE: "1"} | dict.fromkeys(prefetch.OFFLINE, "1")
    done = python(FETCH, "team/model", COMMIT, "model", HF_HUB_CACHE=str(tmp_path), **asked)
    assert "HF_HUB_OFFLINE is set" in done.stdout


def test_a_damaged_file_is_named(tmp_path):
    blob = tmp_path / ("a" * 64)
    blob.write_bytes(b"half")
    (tmp_path / "model.safetensors").symlink_to(blob)
    with pytest.raises(UserError, match=r"model\.safetensors: the checksum differs.*Delete"):
        prefetch._checked(tmp_path, "model.safetensors")


def test_pickled_weights_only_where_there_are_no_others():
    beside = ["config.json", "pytorch_model.bin"]
    assert wanted(beside, "model") == beside
    assert wanted([*beside, "model.safetensors"], "model") == ["config.json", "model.safetensors"]
    with pytest.raises(UserError, match="holds none of"):
        wanted(["config.json"], "model")
    assert wanted(["README.md", "a.csv", "b.csv", "run.py"], "dataset", ["a.*"]) == ["README.md", "a.csv"]


@pytest.mark.parametrize("revision", [None, "", "main", "v1.0", "0123abc"])
def test_a_model_without_a_commit_is_refused_with_the_way_to_find_it(revision):
    problem = unpinned("models.big.revision", "team/model", revision, "model")
    assert problem.startswith("models.big.revision: ")
    assert "git ls-remote https://huggingface.co/team/model HEAD" in problem
    assert unpinned("models.big.revision", "team/model", COMMIT, "model") == ""


def test_the_configuration_check_names_every_missing_revision():
    raw = {
        "scenario": "s",
        "models": {"big": {"source": "hub", "name": "team/model"}},
        "datasets": {"test": {"kind": "hub", "role": "evaluation", "options": {"repo": "team/pairs"}}},
        "experiments": {"base": {"model": "big"}},
        "judges": {"phrases": {"kind": "refusal_phrases"}},
        "benchmarks": {"harm": {"datasets": ["test"], "axis": "safety", "judges": ["phrases"]}},
    }
    with pytest.raises(UserError) as caught:
        check_inputs(load(raw))
    assert "models.big.revision: missing" in str(caught.value)
    assert "git ls-remote https://huggingface.co/datasets/team/pairs HEAD" in str(caught.value)
    raw["models"]["big"]["revision"] = COMMIT  # type: ignore[index]
    raw["datasets"]["test"]["options"]["revision"] = COMMIT  # type: ignore[index]
    check_inputs(load(raw))
    plan = Plan(load(raw))
    assert plan.prefetch.records == ["results/s/prefetch/models/big.json", "results/s/prefetch/datasets/test.json"]
    assert plan.evaluate.inputs("untrained.base") == {"model": ["results/s/prefetch/models/big.json"]}


def test_jobs_are_offline_only_where_something_was_fetched(monkeypatch, tmp_path):
    assert environment("", fetched=False) == {}
    assert set(environment("", fetched=True)) == set(prefetch.OFFLINE)
    monkeypatch.setenv("GROUP_CACHE", str(tmp_path))
    assert environment("$GROUP_CACHE/hf", fetched=False)["HF_HUB_CACHE"] == str(tmp_path / "hf" / "hub")
    with pytest.raises(UserError, match="NO_SUCH_VARIABLE"):
        environment("$NO_SUCH_VARIABLE/hf", fetched=True)


def test_tokens_are_forgotten_and_never_printed():
    variables = {"HF_TOKEN": "secret-of-mine", "HOME": "x"}
    assert redacted(f"Bearer secret-of-mine and {TOKEN}", variables) == "Bearer (token) and (token)"
    forget_tokens(variables)
    assert variables == {"HOME": "x"}
