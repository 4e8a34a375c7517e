"""An unknown key is named with the keys that its own table accepts."""

import copy
from pathlib import Path

import pytest
import yaml

from trulysafe.common.errors import UserError
from trulysafe.config.load import load

SMALL = yaml.safe_load((Path(__file__).parents[1] / "workflow" / "small.yaml").read_text(encoding="utf-8"))
ENDPOINT = {"backend": "endpoint", "base_url": "http://localhost:8000/v1", "name": "served"}
UNKNOWN = {
    "a key of another table": (("experiments", "dpo", "beta"), 0.3,
        "experiments.dpo.beta: unknown key. Accepted: best_of, first_seed, group, label, method, "),
    "a misspelt one": (("pools", "harmful", "temprature"), 1.0,
        "pools.harmful.temprature: unknown key. Did you mean 'temperature'? Accepted: block, "),
    "at the top": (("experimnets",), {}, "experimnets: unknown key. Did you mean 'experiments'? Accepted: batching, "),
    "of one kind of model": (("models", "tiny", "revision"), "main",
        "models.tiny.revision: unknown key. Accepted: architecture, corpus, "),
    "of one backend": (("llms", "reviewer"), ENDPOINT | {"model": "tiny"},
        "llms.reviewer.model: unknown key. Accepted: attempts, backend, base_url, "),
    "in a table of a table": (("report", "contrasts", "ama_safety", "c"), "dpo",
        "report.contrasts.ama_safety.c: unknown key. Accepted: a, b, metric, "),
    "of one experiment's training": (("experiments", "dpo", "training", "stpes"), 3,
        "unknown key. Did you mean 'steps'? Accepted: accumulation, batch_size, "),
    "where the table may be left out": (
        ("experiments", "dpo", "start_from"), {"experiment": "base", "steps": 1},
        "experiments.dpo.start_from.steps: unknown key. Did you mean 'step'? Accepted: experiment, seed, step.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_key_is_named_with_those_that_are_accepted(name):
    (*tables, last), value, message = UNKNOWN[name]
    raw = copy.deepcopy(SMALL)
    place = raw
    for table in tables:
        place = place.setdefault(table, {})
    place[last] = value
    with pytest.raises(UserError) as caught:
        load(raw)
    assert message in str(caught.value)


def test_a_path_holds_keys_alone():
    """Neither the kind of model nor the types that a value might have had, but a component may bear the name of a
    kind."""
    raw = copy.deepcopy(SMALL)
    raw["models"]["train"] = raw["models"]["tiny"] | {"foo": 1}
    raw["datasets"]["corpus"]["role"] = {"pairz": 1}
    with pytest.raises(UserError) as caught:
        load(raw)
    keys = [line.split(": ")[0] for line in str(caught.value).splitlines()[1:]]
    assert keys == ["- models.train.foo", "- datasets.corpus.role", "- datasets.corpus.role.pairz"]


MISSPELT = {
    "the method of an experiment that another reads": {
        "experiments.confidence.method": "confidnce_dpo",
        "methods.placebo": {"confidence": {"kind": "fixed"}, "gamma_of": "confidence"},
    },
    "the method of an experiment that another starts from": {
        "experiments.dpo.method": "dopo",
        "experiments.round2": {"model": "tiny", "mix": "random", "method": "dpo", "start_from": {"experiment": "dpo"}},
    },
    "the judge of what is followed": {
        "benchmarks.harmful.judges": ["orcale"],
        "drift": {"experiments": ["dpo"], "pool": "harmful", "benchmark": "harmful"},
    },
    "a contrast's side": {"report.contrasts.ama_safety.a": "am"},
    "a point of a sweep": {"report.sweeps": {"kept": {"label": "kept", "points": {"dop": 1}}}},
}  # fmt: skip


def changed(changes):
    """The small configuration with values replaced by their dotted keys."""
    raw = copy.deepcopy(SMALL)
    for key, value in changes.items():
        *tables, last = key.split(".")
        place = raw
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = value
    return raw


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_name_is_all_that_is_reported(name):
    """Whatever else is read by that name waits until it is corrected."""
    with pytest.raises(UserError) as caught:
        load(changed(MISSPELT[name]))
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith(f"- {next(iter(MISSPELT[name]))}")
    assert "Did you mean" in line


def test_every_misspelt_name_is_reported_at_once():
    names = {"experiments.dpo.mix": "rndom", "pools.harmful.labeller": "rsk", "benchmarks.harmful.datasets": ["tset"]}
    with pytest.raises(UserError) as caught:
        load(changed(names))
    assert {line.split(": ")[0] for line in str(caught.value).splitlines()[1:]} == {f"- {key}" for key in names}


def test_a_methods_training_is_refused_once_where_it_stands():
    """Two experiments take it; neither is named."""
    with pytest.raises(UserError) as caught:
        load(
            changed(
                {
                    "methods.dpo.training": {"learning_rate": -1, "stpes": 3},
                    "experiments.again": SMALL["experiments"]["dpo"],
                }
            )
        )
    keys = [line.split(": ")[0] for line in str(caught.value).splitlines()[1:]]
    assert keys == ["- methods.dpo.training.learning_rate", "- methods.dpo.training.stpes"]


OF_ANOTHER_KIND = {
    "pairs.harmless.reward": ("hybrid", "only the source 'rerank' reads it, not 'annotated'"),
    "pairs.harmless.min_gap": (0.5, "only the source 'rerank'"),
    "pairs.harmless.datasets": ([], "missing. The source 'annotated' needs it"),
    "pairs.reranked.labeller": ("risk", "only the source 'annotated' reads it, not 'rerank'"),
    "pairs.reranked.pool": (None, "missing. The source 'rerank' needs it"),
    "pairs.reranked.k": (2, "only the rule 'top_k_bottom_k' reads it, not 'best_worst'"),
    "mixes.random.quotas": ({"EHD": 4}, "only the rule 'quota' reads it, not 'random'"),
    "mixes.random.total": (None, "missing. The rule 'random' needs it"),
    "labellers.risk.llm": ("reviewer", "only the kind 'llm' reads it, not 'classifier'"),
    "labellers.risk.datasets": ([], "missing. The kind 'classifier' needs it"),
}


@pytest.mark.parametrize("key", OF_ANOTHER_KIND)
def test_a_key_that_only_another_kind_reads_is_refused_and_a_missing_one_named(key):
    value, message = OF_ANOTHER_KIND[key]
    with pytest.raises(UserError) as caught:
        load(changed({key: value}))
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith(f"- {key}: {message}")


def test_another_kind_needs_and_reads_other_keys():
    with pytest.raises(UserError, match=r"mixes\.random\.ratios: missing"):
        load(changed({"mixes.random.rule": "ratio"}))
    with pytest.raises(UserError, match=r"labellers\.risk\.datasets: only the kind 'classifier' or 'llm' reads it"):
        load(changed({"labellers.risk.kind": "released"}))


def test_an_overlay_takes_a_key_away_with_the_kind_that_read_it():
    mix = {"mixes.random.rule": "quota", "mixes.random.total": None, "mixes.random.quotas": {"EHD": 4}}
    assert load(changed(mix)).mixes["random"].total is None


def test_the_configuration_with_all_defaults_filled_in_is_accepted():
    config = load(SMALL)
    assert load(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"processes": 2}, "processes: 2 with engine 'single'"),
        ({"engine": "ddp", "processes": 3, "nodes": 2, "batch_size": 3}, "processes: 3 cannot be spread over 2 nodes"),
        ({"engine": "ddp", "processes": 3}, "batch_size: a micro-batch of 4 pairs cannot be spread over 3 processes"),
    ],
)  # fmt: skip
def test_a_launch_is_refused_in_the_words_of_the_job(training, message):
    of_experiment = "experiments.dpo.training"  # what a method's keys are to each other is known with its experiments'
    for key, named in (
        ("training", "training"),
        ("methods.dpo.training", of_experiment),
        (of_experiment, of_experiment),
    ):
        given = SMALL["training"] | training if key == "training" else training
        with pytest.raises(UserError) as caught:
            load(changed({key: given}))
        (line,) = str(caught.value).splitlines()[1:]
        assert line.startswith(f"- {named}.{message}")
