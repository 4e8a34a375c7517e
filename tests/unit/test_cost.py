"""The plan of a configuration against counts by hand, on the small and the demo configuration."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.unit import tiny
from trulysafe.common.errors import UserError
from trulysafe.config.files import raw_configuration
from trulysafe.config.load import load
from trulysafe.tools.cost.assumptions import Assumptions
from trulysafe.tools.cost.estimate import STAGES, Gpu, gpu_type, gpus_of, priced, seconds_of, wall_hours
from trulysafe.tools.cost.jobs import Jobs
from trulysafe.tools.cost.measured import beside
from trulysafe.tools.cost.screen import disk
from trulysafe.tools.cost.sizes import Size, llama_parameters, size_of, stored_parameters
from trulysafe.tools.cost.work import Job

ROOT = Path(__file__).resolve().parents[2]
SMALL, DEMO = ROOT / "tests/workflow/small.yaml", ROOT / "config/demo.yaml"
A = Assumptions()
GPU = Gpu("test", memory=80e9, flops=1e15, bandwidth=2e12)
EIGHT = Size(8e9, 32, 4096, "bfloat16")
SEVENTY = Size(70e9, 80, 8192, "bfloat16", "big")


def raw(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs_of(path: Path) -> dict[str, list[Job]]:
    found: dict[str, list[Job]] = {}
    for job in Jobs(load(raw(path)), A).all():
        found.setdefault(job.rule, []).append(job)
    return found


def test_small_configuration_by_hand():
    jobs = jobs_of(SMALL)
    # 60 prompts in blocks of 8 are 8 blocks, 4 a shard; 4 samples; 48 tokens
    assert [(job.steps, job.sequences) for job in jobs["sample"]] == [(4 * 48, 32)] * 2
    assert [job.forward_tokens for job in jobs["pool_states"]] == [4 * 8 * 4 * (60 + 0.6 * 48)] * 2
    assert jobs["pool_states"][0].disk == 4 * 8 * 4 * 2 * 32 * 4  # responses, layers, width, float32
    # 60 pairs, both sides, endpoints and two token positions
    assert jobs["reward_states"][0].disk == 120 * 3 * 2 * 32 * 4
    # two seeds of dpo in one job: 2 steps of 4 pairs of two sides of 100 tokens
    assert sorted(job.trained_tokens for job in jobs["train"]) == [1600, 1600, 3200]
    # base: 60 harmful prompts, 20 look-alikes, 20 general ones, in blocks of 32, 16 tokens
    assert jobs["answer"][0].steps == (2 + 1 + 1) * 16
    # one run at two snapshots: 15, 5 and 5 prompts at the earlier one
    assert jobs["answer"][-1].steps == (2 + 1 + 1) * 16 + 3 * 16
    assert [job.forward_tokens for job in jobs["reference"]] == [2 * 24 * 100, 2 * 60 * 100]


def test_demo_by_hand():
    jobs = jobs_of(DEMO)
    assert sum(map(len, jobs.values())) <= 60
    assert jobs["train_base"][0].trained_tokens == 1000 * 32 * 64
    # 480 prompts x 8 samples x 32 tokens over two shards of 15 blocks of 16
    assert [job.steps * job.sequences for job in jobs["sample"]] == [15 * 32 * 128] * 2
    policies = 5 + 3 + 3 + 5 + 3 + 5 + 5 + 5 + 2 + 2 + 2
    assert sum(job.trained_tokens for job in jobs["train"]) == policies * 48 * 16 * 2 * 48
    one = llama_parameters({**raw(DEMO)["models"]["tiny"]["architecture"]}) * 4
    assert sum(job.disk for job in jobs["train"]) == policies * 4 * one


def test_kto_reads_as_many_mismatched_tokens_as_it_trains_on():
    changed = raw(SMALL)
    changed["methods"]["dpo"] = {"loss": "kto"}
    priced_kto = [job for job in Jobs(load(changed), A).all() if job.rule == "train" and job.forward_tokens]
    assert [(job.forward_tokens, job.trained_tokens) for job in priced_kto] == [(3200, 3200)]


@pytest.mark.parametrize(("keys", "pairs"), [({"rows": 50}, 50), ({"rule": "top_k_bottom_k", "k": 4}, 120), ({}, 60)])
def test_a_table_of_pairs_is_no_longer_than_samples_and_rows_allow(keys, pairs):
    """60 prompts of four samples make two pairs each, whatever k is."""
    changed = raw(SMALL)
    changed["pairs"]["reranked"] |= keys
    assert Jobs(load(changed), A).rows.pairs("reranked") == pairs


def test_answer_shards_share_the_work():
    changed = raw(DEMO) | {"batching": raw(DEMO)["batching"] | {"answer_shards": 4}}
    whole, parts = jobs_of(DEMO)["answer"], [job for job in Jobs(load(changed), A).all() if job.rule == "answer"]
    assert len(parts) == 4 * len(whole)
    assert sum(job.steps for job in parts) == pytest.approx(sum(job.steps for job in whole))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_sizes_are_those_of_the_files(tmp_path, family):
    model = tiny.model(family)
    model.save_pretrained(tmp_path)
    config = raw(SMALL)
    config["models"]["tiny"] = {"source": "path", "name": str(tmp_path), "dtype": "bfloat16"}
    size = size_of(load(config), "tiny")
    assert (size.parameters, size.layers, size.width) == (model.num_parameters(), tiny.LAYERS, tiny.WIDTH)
    assert stored_parameters(tmp_path) == model.num_parameters()


def test_llama_parameters_are_those_of_transformers():
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {
        "hidden_size": 32, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 100, "tie_word_embeddings": True,
    }  # fmt: skip
    assert llama_parameters(shape) == LlamaForCausalLM(LlamaConfig(**shape)).num_parameters()


def test_a_hub_model_needs_its_number_of_weights():
    config = raw(SMALL)
    config["models"]["tiny"] = {"source": "hub", "name": "nobody/nothing", "revision": "0" * 40}
    with pytest.raises(UserError, match=r"models\.tiny\.parameters: missing.*make prefetch"):
        size_of(load(config), "tiny")
    config["models"]["tiny"]["parameters"] = 8.03e9
    size = size_of(load(config), "tiny")
    assert (size.parameters, size.bytes_per_weight, size.name) == (8.03e9, 2, "tiny")
    assert 28 <= size.layers <= 36


def test_a_plan_needs_no_data_and_says_what_it_assumed(tmp_path):
    config = raw(SMALL)
    config["datasets"]["test"] = {
        "kind": "jsonl",
        "role": "evaluation",
        "options": {"path": str(tmp_path / "no.jsonl")},
    }
    jobs = Jobs(load(config), A)
    jobs.all()
    assert jobs.rows.guessed == ["test"]
    assert jobs.rows.dataset("test") == A.unknown_rows
    (tmp_path / "no.jsonl").write_text('{"prompt": "a"}\n' * 7, encoding="utf-8")
    assert Jobs(load(config), A).rows.dataset("test") == 7


def test_seconds_by_hand():
    training = Job("train", EIGHT, loads=1, trained_tokens=1e6)
    flops = 6 * 8e9 * 1e6 / (1e15 * A.training_utilisation)
    assert seconds_of(training, GPU, A) == pytest.approx(A.start_seconds + 16 + flops)
    assert seconds_of(replace(training, processes=4), GPU, A) == pytest.approx(A.start_seconds + 16 + flops / 4)
    decoding = Job("sample", EIGHT, loads=0, steps=1000, sequences=64)
    step = 32 * A.layer_seconds + 16e9 / (2e12 * A.bandwidth_share) + 64 * 2 * 8e9 / (1e15 * A.forward_utilisation)
    assert seconds_of(decoding, GPU, A) == pytest.approx(A.start_seconds + 1000 * step)
    assert seconds_of(Job("split"), GPU, A) == A.cpu_job_seconds
    assert [gpus_of(Job("split"), GPU), gpus_of(Job("answer", SEVENTY), GPU)] == [0, 1]


def test_labelling_is_priced_for_all_that_is_labelled_before_rows_are_taken():
    raw = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    raw["llms"] = {"local": {"backend": "local", "model": "tiny", "batch_size": 1, "max_new_tokens": 10}}
    raw["labellers"] = {"risk": {"kind": "llm", "llm": "local", "datasets": ["risk_labels"], "options": {"rows": None}}}
    raw["pairs"]["harmless"] |= {"labeller": "risk", "rows": 5}
    priced = {job.rule: job.steps for job in Jobs(load(raw), Assumptions()).all()}
    assert priced["annotated_pairs"] == 10 * 24  # both tables, as they are
    assert priced["fit_labeller"] == 10 * 120


def test_wall_time_is_stage_after_stage():
    train = Job("train", EIGHT, trained_tokens=1e8)
    table = priced([train] * 4 + [Job("split")], GPU, A)
    hours, short = seconds_of(train, GPU, A) / 3600, A.cpu_job_seconds / 3600
    assert wall_hours(table, 1) == pytest.approx(4 * hours + short)
    assert wall_hours(table, 2) == pytest.approx(2 * hours + short)
    assert wall_hours(table, 100) == pytest.approx(hours + short)


def test_gpus_that_no_further_job_fits_on_stay_idle():
    table = priced([Job("train", EIGHT, trained_tokens=1e8, processes=4)] * 4, GPU, A)
    assert wall_hours(table, 11) == pytest.approx(wall_hours(table, 8))
    assert wall_hours(table, 12) < wall_hours(table, 8)


def test_every_rule_has_its_place():
    rules = {rule for stage in STAGES for rule in stage}
    assert set(jobs_of(SMALL)) | set(jobs_of(DEMO)) <= rules
    assert len(rules) == sum(map(len, STAGES))


def test_a_run_is_set_beside_its_plan(tmp_path):
    table = priced([Job("split"), Job("normalise"), Job("normalise")], GPU, A)
    assert beside(table, tmp_path / "none")["jobs_done"].sum() == 0
    (tmp_path / "normalise").mkdir()
    for name, seconds in (("a", 30), ("b", 60)):
        pd.DataFrame({"s": [seconds]}).to_csv(tmp_path / "normalise" / f"{name}.tsv", sep="\t", index=False)
    rows = beside(table, tmp_path).set_index("rule")
    assert rows.loc["normalise", "measured_hours"] == pytest.approx(90 / 3600)
    assert rows.loc["normalise", "ratio"] == pytest.approx(90 / (2 * A.cpu_job_seconds))
    assert pd.isna(rows.loc["split", "ratio"])


def test_gpu_types_and_units():
    assert gpu_type("h100-80gb", ROOT / "resources/gpus.csv").flops == 989e12
    for name, meant in (("h100-80", "h100-80gb"), ("h100", "h100-80gb"), ("A100-80GB", "a100-80gb")):
        with pytest.raises(UserError, match=f"Did you mean '{meant}'"):
            gpu_type(name, ROOT / "resources/gpus.csv")
    assert [disk(size) for size in (0, 0.0021, 12.34, 1234)] == ["-", "2.1 MB", "12.3 GB", "1.2 TB"]


def test_command_prints_one_screen_without_torch(tmp_path):
    code = (
        "import sys; from trulysafe.tools.cost.__main__ import main; main(sys.argv[1:]); "
        "print(sorted({'torch', 'transformers', 'trl'} & set(sys.modules)))"
    )
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    done = subprocess.run(
        [sys.executable, "-c", code, "--configfile", str(SMALL)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("small: 43 jobs")
    assert done.stdout.rstrip().endswith("[]")
    assert len(pd.read_csv(tmp_path / "results/small/plan.csv")) == 25


def test_configuration_files_are_laid_over_each_other(tmp_path):
    texts = {
        "base": "models: {tiny: {source: train}}\nmethods: {dpo: {beta: 0.1}, ama: {}}",
        "one": "methods: {dpo: {beta: 0.2}, ama: null}",
        "two": "scenario: two",
    }
    files = [tmp_path / f"{name}.yaml" for name in texts]
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text, encoding="utf-8")
    expected = {
        "models": {"tiny": {"source": "train"}},
        "methods": {"dpo": {"beta": 0.2}, "ama": None},
        "scenario": "two",
    }
    assert raw_configuration(files) == expected
    assert raw_configuration(files[1:], demo=files[0]) == expected
    with pytest.raises(UserError, match=r"absent.yaml: cannot be read"):
        raw_configuration([files[0], tmp_path / "absent.yaml"])
