from itertools import pairwise

import pytest

from tests.unit.small_configuration import SMALL, changed
from trulysafe.common.errors import UserError
from trulysafe.config.launch import Launch
from trulysafe.config.load import load
from trulysafe.plan.plan import Plan
from trulysafe.plan.resources import REQUESTS, SIZES, Site, requests, size_class


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", "1b"), ("meta-llama/Llama-2-7b-hf", "8b"), ("Meta-Llama-3-8B-Instruct", "8b"),
        ("google/gemma-2-9b-it", "8b"), ("Llama-2-13b-chat-hf", "13b"), ("Llama-3.1-70B", "70b"),
        ("Qwen/Qwen3-235B-A22B", "70b"),
        ("models/mine", "8b"), ("facebook/opt-125m", "1b"),
    ],
)  # fmt: skip
def test_size_is_read_from_the_name(name, size):
    assert size_class(name) == size
    assert size_class(name, "13b") == "13b"


def test_every_size_has_a_request_and_larger_models_never_ask_for_less():
    for by_size in REQUESTS.values():
        assert list(by_size) == list(SIZES)
        asked = list(by_size.values())
        for smaller, larger in pairwise(asked):
            assert smaller.gpus <= larger.gpus
            assert smaller.memory_gb <= larger.memory_gb
            assert smaller.minutes <= larger.minutes


def evaluated(site, size, attempt=1, kind="train", processes=1, nodes=1):
    resources = requests(kind, lambda wildcards: size, site, lambda wildcards: processes, lambda wildcards: nodes)
    growing = ("mem_mb", "runtime")
    values = {name: value(None, attempt) if name in growing else value(None) for name, value in resources.items()}
    return {name: value for name, value in values.items() if value is not None}


def test_gpu_flags():
    site = Site.from_defaults({"slurm_partition": "cpu", "gpu_partition": "gpu", "runtime": "60 * attempt"})
    assert evaluated(site, "8b", processes=4) == {
        "gpu": 4, "slurm_partition": "gpu", "cpus_per_task": 32, "mem_mb": 384000, "runtime": 720,
    }  # fmt: skip
    typed = Site.from_defaults({"gpu_type": "'a100'", "gpu_constraint": "big"})
    assert {"gpu": 1, "gpu_model": "a100", "constraint": "big"}.items() <= evaluated(typed, "8b").items()
    gres = Site.from_defaults({"gpu_flag": "gres", "gpu_type": "a100"})
    assert evaluated(gres, "8b", processes=2)["gres"] == "gpu:a100:2"
    assert not {"gpu", "gpu_model"} & set(evaluated(gres, "8b"))
    assert evaluated(Site(gpu_flag="gres"), "1b")["gres"] == "gpu:1"


@pytest.mark.parametrize("flag", ["gpu", "gres"])
def test_several_nodes_ask_for_the_same_on_each(flag):
    site = Site(slurm_partition="cpu", gpu_partition="gpu", gpu_flag=flag, gpu_type="a100")
    assert evaluated(site, "8b", processes=4, nodes=2) == {
        "gres": "gpu:a100:4", "nodes": 2, "tasks": 2, "tasks_per_gpu": 0, "mpi": "srun", "slurm_partition": "gpu",
        "cpus_per_task": 32,
        "mem_mb": 384000, "runtime": 720,
    }  # fmt: skip


def test_a_tiny_model_asks_for_no_gpu_and_a_laptop_for_no_partition():
    assert evaluated(Site(gpu_partition="gpu", slurm_partition="cpu", gpu_constraint="big"), "tiny") == {
        "slurm_partition": "cpu", "cpus_per_task": 2, "mem_mb": 6000, "runtime": 60,
    }  # fmt: skip
    assert set(evaluated(Site(), "tiny")) == {"cpus_per_task", "mem_mb", "runtime"}


def test_memory_and_time_grow_up_to_the_limits_of_the_site():
    site = Site(most_memory_gb=150, longest_minutes=1440)
    grown = [
        (evaluated(site, "8b", attempt)["mem_mb"], evaluated(site, "8b", attempt)["runtime"]) for attempt in (1, 2, 3)
    ]
    assert grown == [(96000, 720), (150000, 1440), (150000, 1440)]


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ({"gpu_flag": "gpus"}, "default-resources.gpu_flag: 'gpus' is not accepted"),
        ({"longest_minutes": "1 day"}, "longest_minutes: '1 day' is not accepted. Accepted: a whole number"),
    ],
)
def test_a_wrong_site_is_refused(defaults, expected):
    with pytest.raises(UserError, match=expected):
        Site.from_defaults(defaults)


def test_what_zero_offloads_is_asked_for_as_memory():
    def memory(**launch):
        training = {"engine": "zero3", "processes": 4, **launch}
        plan = Plan(load(changed({"models.tiny.size": "8b", "training": SMALL["training"] | training})))
        (job, *_) = plan.policies.trained
        beside = plan.train.offloaded_gb(job)
        asked = requests("train", lambda _: "8b", Site(), lambda _: 4, beside_of=lambda _: beside)
        return asked["mem_mb"](None, 1) / 1000

    assert memory(offload="optimizer") - memory() == 16 * SIZES["8b"]
    assert memory(offload="all") - memory() == 18 * SIZES["8b"]
    adapter = {"lora": {"r": 8, "target_modules": "all-linear"}}
    assert memory(offload="optimizer", **adapter) == memory(**adapter)
    assert memory(offload="all", **adapter) - memory(**adapter) == 2 * SIZES["8b"]


@pytest.mark.parametrize(("engine", "offload"), [("single", "optimizer"), ("ddp", "all"), ("zero2", "all")])
def test_offloading_needs_an_engine_that_can(engine, offload):
    with pytest.raises(UserError, match=rf"offload: '{offload}' with engine '{engine}'.*`all` needs zero3"):
        Launch(engine=engine, offload=offload)
