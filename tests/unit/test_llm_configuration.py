"""Stanzas of language models: what is refused before any job, what decides a rerun, what a client is made of."""

from pathlib import Path

import pytest
import yaml

from trulysafe.common.errors import UserError
from trulysafe.config.load import load
from trulysafe.llm.client import open_client
from trulysafe.llm.endpoint import Endpoint
from trulysafe.llm.local import LocalModel
from trulysafe.llm.messages import Generation
from trulysafe.plan.checks import check_inputs
from trulysafe.plan.plan import Plan

SMALL = Path(__file__).resolve().parents[1] / "workflow" / "small.yaml"
SERVED = {"backend": "endpoint", "base_url": "http://localhost:8000/v1", "name": "m"}
LOCAL = {"backend": "local", "model": "tiny", "batch_size": 4, "max_new_tokens": 7}
REVIEWER = {"kind": "llm", "llm": "reviewer", "datasets": ["risk_labels"]}


def raw(**tables):
    return {**yaml.safe_load(SMALL.read_text(encoding="utf-8")), **tables}


WRONG = {
    "no language model": ({"labellers": {"risk": {"kind": "llm"}}}, ["labellers.risk.llm: missing"]),
    "an undefined one": ({"labellers": {"risk": REVIEWER}},
        ["labellers.risk.llm", "'reviewer'", "Define it under llms"]),
    "one for another kind": (
        {"llms": {"reviewer": SERVED}, "labellers": {"risk": {**REVIEWER, "kind": "classifier"}}},
        ["labellers.risk.llm: only the kind 'llm'"],
    ),
    "a classifier without labels": ({"labellers": {"risk": {"kind": "classifier"}}},
        ["labellers.risk.datasets: missing"]),
    "an option of another kind": (
        {"llms": {"reviewer": SERVED}, "labellers": {"risk": {**REVIEWER, "options": {"features": []}}}},
        ["labellers.risk.options.features: unknown key. Accepted: attempts, "],
    ),
    "a value of an option": (
        {"labellers": {"risk": {"kind": "classifier", "datasets": ["risk_labels"], "options": {"features": ["word"]}}}},
        ["labellers.risk.options.features.0: 'word' is not accepted. Did you mean 'words'?"],
    ),
    "an unknown kind": ({"labellers": {"risk": {"kind": "lm"}}},
        ["labellers.risk.kind: 'lm' is not accepted.", "Accepted: classifier, llm, released."]),
    "an unknown backend": ({"llms": {"reviewer": {**SERVED, "backend": "http"}}},
        ["llms.reviewer.backend: 'http' is not accepted. Accepted: local, endpoint."]),
    "a key of the other backend": ({"llms": {"reviewer": {**LOCAL, "base_url": "x"}}},
        ["llms.reviewer.base_url: unknown key"]),
    "a key in the configuration": ({"llms": {"reviewer": {**SERVED, "key": "sk-1"}}},
        ["llms.reviewer.key: unknown key"]),
    "a key in place of its variable": ({"llms": {"reviewer": {**SERVED, "key_variable": "sk-1"}}},
        ["llms.reviewer.key_variable: no name of an environment variable"]),
    "an undefined model": ({"llms": {"reviewer": {**LOCAL, "model": "qwen"}}}, ["llms.reviewer.model", "'qwen'"]),
    "a password in the address": (
        {"llms": {"reviewer": {**SERVED, "base_url": "https://me:secret@host/v1"}}},
        ["llms.reviewer", "base_url holds a user"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused_before_any_job(name):
    tables, expected = WRONG[name]
    with pytest.raises(UserError) as caught:
        check_inputs(load(raw(**tables)))
    assert all(text in str(caught.value) for text in expected), str(caught.value)
    assert "secret" not in str(caught.value)
    assert "sk-1" not in str(caught.value)


def test_where_an_endpoint_is_and_how_fast_it_is_asked_decide_no_rerun():
    plan = Plan(load(raw(llms={"reviewer": {**SERVED, "key_variable": "KEY"}})))
    moved = {**SERVED, "base_url": "http://node7:9/v1", "concurrency": 2, "timeout": 9, "attempts": 3}
    assert Plan(load(raw(llms={"reviewer": moved}))).label.llm_options("reviewer") == plan.label.llm_options("reviewer")
    for change in (
        {"name": "n"},
        {"revision": "2"},
        {"max_new_tokens": 9},
        {"request": {"seed": 1}},
        {"temperature": 1},
    ):
        changed = Plan(load(raw(llms={"reviewer": {**SERVED, **change}})))
        assert changed.label.llm_options("reviewer") != plan.label.llm_options("reviewer"), change


def test_a_client_is_made_from_its_stanza(monkeypatch):
    monkeypatch.setenv("KEY", "sk-2")
    plan = Plan(load(raw(llms={"near": LOCAL, "far": {**SERVED, "key_variable": "KEY"}})))
    near, far = (open_client(**plan.label.llm_client(name)) for name in ("near", "far"))
    assert isinstance(near.backend, LocalModel)
    assert near.generation == Generation(max_new_tokens=7)
    assert near.backend.identity()["source"] == "results/small/models/tiny"
    assert isinstance(far.backend, Endpoint)
    assert far.cache.folder == Path("results/small/llm_cache/far")
    monkeypatch.delenv("KEY")
    with pytest.raises(UserError, match="KEY, which `key_variable` names"):
        open_client(**plan.label.llm_client("far"))


def test_values_of_the_chat_template_reach_local_models_and_endpoints():
    off = {"chat_template_kwargs": {"enable_thinking": False}}
    plan = Plan(load(raw(llms={"near": LOCAL | off, "far": SERVED | off})))
    near, far = (open_client(**plan.label.llm_client(name)).backend.identity() for name in ("near", "far"))
    assert near["chat_template_kwargs"] == far["request"]["chat_template_kwargs"] == {"enable_thinking": False}
    assert plan.label.llm_options("far") != Plan(load(raw(llms={"far": SERVED}))).label.llm_options("far")
    models = {"tiny": {"source": "hub", "name": "a/b", "revision": "0" * 40, **off}}
    spec = Plan(load(raw(models=models, llms={"near": LOCAL}))).label.llm_client("near")["spec"]
    assert spec["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_labeller_waits_for_the_model_that_it_asks():
    plan = Plan(load(raw(llms={"reviewer": LOCAL}, labellers={"risk": REVIEWER})))
    assert plan.label.files("risk") == ["results/small/labellers/risk", "results/small/models/tiny"]
    assert plan.label.llm("risk") == "reviewer"
    assert plan.label.llm(None) is None
    assert Plan(load(raw())).label.files("risk") == ["results/small/labellers/risk"]
