"""Seconds, wall time and GPUs of given jobs, by hand."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from trulysafe.common.errors import UserError
from trulysafe.models.sizes import Size
from trulysafe.tools.cost.assumptions import Assumptions
from trulysafe.tools.cost.job import Job
from trulysafe.tools.cost.price import Gpu, disk, gpu_type, gpus_of, priced, seconds_of, wall_hours

ROOT = Path(__file__).resolve().parents[2]
A = Assumptions()
GPU = Gpu("test", memory=80e9, flops=1e15, bandwidth=2e12)
EIGHT = Size(8e9, 32, 4096, "bfloat16")
SEVENTY = Size(70e9, 80, 8192, "bfloat16", "big")


def test_seconds_by_hand():
    training = Job("train", EIGHT, loads=1, trained_tokens=1e6)
    flops = 6 * 8e9 * 1e6 / (1e15 * A.training_utilisation)
    assert seconds_of(training, GPU, A) == pytest.approx(A.start_seconds + 16 + flops)
    assert seconds_of(replace(training, processes=4), GPU, A) == pytest.approx(A.start_seconds + 16 + flops / 4)
    decoding = Job("sample", EIGHT, loads=0, steps=1000, sequences=64)
    step = 32 * A.layer_seconds + 16e9 / (2e12 * A.bandwidth_share) + 64 * 2 * 8e9 / (1e15 * A.forward_utilisation)
    assert seconds_of(decoding, GPU, A) == pytest.approx(A.start_seconds + 1000 * step)
    by_engine, twice = replace(decoding, loads=3, engine=True), Assumptions.on("h100", ["engine_speed=2"])
    loads = 3 * (16 + A.engine_start_seconds)
    assert seconds_of(by_engine, GPU, twice) == pytest.approx(A.start_seconds + loads + 500 * step)
    assert seconds_of(decoding, GPU, twice) == seconds_of(decoding, GPU, A)
    assert seconds_of(Job("split"), GPU, A) == A.cpu_job_seconds
    assert [gpus_of(Job("split"), GPU), gpus_of(Job("answer", SEVENTY), GPU)] == [0, 1]


def test_what_is_assumed_instead_is_a_known_name_and_a_number():
    assert [vars(Assumptions.on(gpu, ["start_seconds=7"]))["start_seconds"] for gpu in ("cpu", "h100-80gb")] == [7, 7]
    with pytest.raises(UserError, match=r"--assume: 'engine_sped' is not accepted\. Did you mean 'engine_speed'"):
        Assumptions.on("cpu", ["engine_sped=2"])
    for said in ("engine_speed", "engine_speed=fast", "engine_speed=0", "engine_speed=nan"):
        with pytest.raises(UserError, match=r"--assume engine_speed: .* Accepted: numbers above 0"):
            Assumptions.on("cpu", [said])


def test_wall_time_follows_what_jobs_wait_for():
    train = Job("train", EIGHT, trained_tokens=1e8, needs=(0,))
    jobs = [Job("split"), *[train] * 4]
    hours, short = seconds_of(train, GPU, A) / 3600, A.cpu_job_seconds / 3600
    assert wall_hours(jobs, GPU, 1, A) == pytest.approx(4 * hours + short)
    assert wall_hours(jobs, GPU, 2, A) == pytest.approx(2 * hours + short)
    assert wall_hours(jobs, GPU, 100, A) == pytest.approx(hours + short)
    second_round = [*jobs, replace(train, needs=(1, 2))]  # waits for two of the four
    assert wall_hours(second_round, GPU, 4, A) == pytest.approx(2 * hours + short)
    assert wall_hours(second_round, GPU, 2, A) == pytest.approx(3 * hours + short)


def test_the_longest_way_to_the_end_goes_first():
    """A long chain and four short jobs on two GPUs: what is on the chain does not wait for the short ones."""
    train = Job("train", EIGHT, trained_tokens=1e8)
    jobs = [*[train] * 4, train, replace(train, needs=(4,)), replace(train, needs=(5,))]
    assert wall_hours(jobs, GPU, 2, A) == pytest.approx(4 * seconds_of(train, GPU, A) / 3600)


def test_gpus_that_no_further_job_fits_on_stay_idle():
    jobs = [Job("train", EIGHT, trained_tokens=1e8, processes=4)] * 4
    assert wall_hours(jobs, GPU, 11, A) == pytest.approx(wall_hours(jobs, GPU, 8, A))
    assert wall_hours(jobs, GPU, 12, A) == pytest.approx(wall_hours(jobs, GPU, 8, A))  # three, then the fourth
    assert wall_hours(jobs, GPU, 16, A) < wall_hours(jobs, GPU, 8, A)


def test_a_run_is_set_beside_its_plan():
    untimed = [Job("split"), Job("normalise"), Job("normalise")]
    assert priced(untimed, GPU, A)["jobs_done"].sum() == 0
    ran = [Job("split"), *(Job("normalise", done=True, took=took) for took in (30, 60, None)), Job("normalise")]
    rows = priced(ran, GPU, A).set_index("rule")
    assert rows.loc["normalise", "measured_hours"] == pytest.approx(90 / 3600)
    assert rows.loc["normalise", "ratio"] == pytest.approx(90 / (2 * A.cpu_job_seconds))
    assert rows.loc["normalise", "jobs_done"] == 3
    assert pd.isna(rows.loc["split", "ratio"])


def test_gpu_types_and_units():
    assert gpu_type("h100-80gb", ROOT / "resources/gpus.csv").flops == 989e12
    for name, meant in (("h100-80", "h100-80gb"), ("h100", "h100-80gb"), ("A100-80GB", "a100-80gb")):
        with pytest.raises(UserError, match=f"Did you mean '{meant}'"):
            gpu_type(name, ROOT / "resources/gpus.csv")
    assert [disk(size) for size in (0, 0.0021, 12.34, 1234)] == ["-", "2.1 MB", "12.3 GB", "1.2 TB"]
