"""A profile is read as Snakemake reads it, and what is wrong in it is named."""

import re

import pytest

from tests.workflow.project import SMALL
from trulysafe.common.errors import UserError
from trulysafe.config.files import raw_configuration
from trulysafe.plan.profile import read_profile
from trulysafe.tools.cluster_check.slurm import asked_for


def profile_of(folder, text):
    (folder / "config.yaml").write_text(text, encoding="latin-1")
    return read_profile(folder)


def test_a_folder_without_a_profile(tmp_path):
    with pytest.raises(UserError, match=r"holds no config\.yaml"):
        read_profile(tmp_path)


def test_profile_as_a_list_of_assignments(tmp_path):
    (tmp_path / "config.yaml").write_text("retries: 1\ndefault-resources: [slurm_partition=long, runtime=60]\n")
    profile = read_profile(tmp_path)
    assert profile.site.slurm_partition == "long"
    assert profile.attempts == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retries: two", "retries: 'two' is no whole number"),
        ("slurm-init-seconds-before-status-checks: fast", "status-checks: 'fast' is no whole number"),
        ("", "config.yaml: Snakemake cannot read it: The config file doesn't appear to contain 'key: value' pairs"),
        ("- retries", "returned type 'list' instead of 'dict'"),
        ("default-resources: hello", "default-resources: 'hello' is not accepted"),
        ("default-resources: [slurm_partition]", "default-resources: 'slurm_partition' is not accepted"),
        ("set-resources: {train: 5}", "Invalid set-resources format in profile. Expected two-level mapping"),
        ("set-resources: [train]", "set-resources: 'train' is not accepted"),
        ("# Gr\xf6\xdfe", "'utf-8' codec can't decode byte 0xf6"),
        ("default-resources: {most_memory_gb: 0}", "most_memory_gb: '0' is not accepted"),
        ("default-resources: {longest_minutes: 0}", "longest_minutes: '0' is not accepted"),
    ],
)
def test_a_profile_of_wrong_types(tmp_path, text, said):
    with pytest.raises(UserError, match=re.escape(said)):
        profile_of(tmp_path, text)


def test_resources_are_evaluated_as_snakemake_does(tmp_path):
    lines = "retries: 2\ndefault-resources: {mem_mb: 4000 * attempt, runtime: 2h, disk_mb: 2 * input.size_mb}"
    raw = raw_configuration([SMALL])
    asked = {job.name: job.attempts for job in asked_for(profile_of(tmp_path, lines), raw)}
    assert asked["no model"][2] == {"mem_mb": 12000, "runtime": 120}
    with pytest.raises(
        UserError, match=r"slurm_partition: all is a name of Python's. As a text it stands in two kinds of"
    ):
        profile_of(tmp_path, "default-resources: {slurm_partition: all}")
    assert profile_of(tmp_path, "default-resources: {slurm_partition: \"'all'\"}").site.slurm_partition == "all"


def test_set_resources_go_before_what_a_rule_asks(tmp_path):
    profile = profile_of(
        tmp_path,
        "retries: 2\ndefault-resources: {slurm_partition: cpu, gpu_partition: gpu, qos: long}\n"
        "set-resources: {train: {runtime: 1440}, metrics: {mem_mb: 9000 * attempt}, fit_token_rewards: {runtime: 5}}",
    )
    asked = {name: attempts for name, _, attempts in asked_for(profile, raw_configuration([SMALL]))}
    train = asked["train (2 cores, 6 GB)"][1]
    assert (train["runtime"], train["mem_mb"], train["slurm_partition"], train["qos"]) == (1440, 12000, "cpu", "long")
    assert asked["train_base (2 cores, 6 GB)"][1]["runtime"] == 120
    assert asked["metrics (9 GB)"][1]["mem_mb"] == 18000
    assert "no model" in asked
