"""Benchmarks as commands: all that a GPU is asked for runs on a CPU, in small; what a fit moves and PPO computes."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from benchmarks import inputs, memory, memory_stages, ppo_step, reward_fit
from benchmarks.machine import forward_flops
from benchmarks.run import ON_CPU, ON_GPU

from tests.unit import tiny

STAGES = tuple(dict.fromkeys(stage for stage, _ in ON_GPU))


def module_of(stage: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.{stage}")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of its own for models, of which the demo's is hardly trained: its tokens are all that is needed."""
    folder, threads = tmp_path_factory.mktemp("bench"), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "RESULTS", folder)
        patch.setitem(inputs.DEMO_TRAINING, "steps", 2)
        patch.setenv("OMP_NUM_THREADS", "1")
        inputs._folder.cache_clear()
        yield folder / "lines"
    inputs._folder.cache_clear()
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("stage", "model"), sorted({*ON_GPU, *((stage, "tiny") for stage in STAGES)}))
def test_every_model_of_a_gpu_has_its_sizes(stage: str, model: str) -> None:
    module = module_of(stage)
    assert model in module.SIZES
    assert model in getattr(module, "WAYS", {model})


def test_every_script_of_a_cpu_is_there() -> None:
    for stage in {stage for stage, _ in ON_CPU}:
        assert callable(module_of(stage).main)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="random models are made on the GPU where there is one")
@pytest.mark.parametrize("stage", STAGES)
def test_what_a_gpu_is_asked_for_runs_in_small(stage: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [stage, "--model", "tiny", "--device", "cpu", "--quick", "--output", str(output)]
    monkeypatch.setattr("sys.argv", command)
    module_of(stage).main()
    lines = [json.loads(line) for line in (output / f"{stage}-tiny-cpu.jsonl").read_text("utf-8").splitlines()]
    compared = [line for line in lines if "ratio" in line]
    assert compared
    for line in compared:
        assert line["ratio"]["median"] > 0
        assert line["bound"]
        assert line["machine"]["date"]
    if stage == "training_memory":
        facts = {line["case"]: line["facts"] for line in lines if "ratio" not in line}
        estimated = {kind: facts[f"DPO, {kind}"]["estimated GiB"] for kind in ("full", "LoRA")}
        assert 0 < estimated["LoRA"] < estimated["full"]
        assert facts["DPO, full, activations recomputed"]["estimated GiB"] < estimated["full"]
        assert "not measured" in facts["DPO, full in bfloat16, 8-bit optimiser"]


@pytest.mark.slow
@pytest.mark.parametrize("name", memory_stages.STAGES)
def test_a_stage_is_measured_in_a_process_of_its_own(name: str, output: Path) -> None:
    torch.set_num_threads(1)
    model, tokenizer = inputs.loaded("demo")
    run, _ = memory_stages.STAGES[name]
    before = {weight: tensor.clone() for weight, tensor in model.state_dict().items()}
    found = memory.apart(lambda: run(model, tokenizer, 80))
    assert found["peak"] >= found["before"] > 0
    for weight, tensor in model.state_dict().items():  # a training moved them in its own process
        assert torch.equal(tensor, before[weight])


def test_memory_that_a_process_takes_is_seen_and_a_failure_is_none() -> None:
    taken = memory.apart(lambda: len(bytes(range(256)) * (1 << 18)))
    assert taken["returned"] == 1 << 26
    assert taken["peak"] - taken["before"] >= 0.9 * (1 << 26)
    with pytest.raises(RuntimeError, match="ended with"):
        memory.apart(lambda: os._exit(3))


def test_bytes_of_a_fit_are_those_of_its_training_pairs() -> None:
    # 90 of 100 pairs, two sides of 2 x 8 float32 numbers, moved four times in each of 50 epochs
    assert reward_fit.moved(100, 2, 8) == 90 * 2 * 2 * 8 * 4 * 4 * 50
    assert reward_fit.moved(100, 2, 8, epochs=5) == reward_fit.moved(100, 2, 8) / 10


def test_flops_of_a_batch_of_ppo_are_those_of_its_parts() -> None:
    config = tiny.model("llama").config
    prompts, samples, new = [5, 9], 3, 4
    rows = [5 + new] * 3 + [9 + new] * 3
    head = 2 * config.vocab_size * config.hidden_size * new * len(rows)
    # a prompt is read once for its samples, every new token once
    once = forward_flops(config, prompts) + sum(
        forward_flops(config, [length]) - forward_flops(config, [length - new]) for length in rows
    )
    read = forward_flops(config, rows)
    steps = ppo_step.EPOCHS * 3 * (2 * read + head)
    expected = once + head + 2 * (read + head) + 2 * read + steps
    assert ppo_step.batch_flops(config, prompts, samples, new) == pytest.approx(expected)
