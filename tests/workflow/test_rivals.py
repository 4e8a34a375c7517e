"""Rivals of the two papers' methods through training, answers and numbers, beside a finished small run."""

import math

import pandas as pd
import pytest

from tests.workflow.project import SMALL, Project

pytestmark = pytest.mark.slow
RIVALS = SMALL.with_name("rivals.yaml")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Folder of results of the rivals' arms, answered and measured."""
    project = Project(tmp_path_factory.mktemp("rivals") / "project")
    chosen = ("results/small/metrics/metrics.parquet", "policies")
    project.snakemake("--configfile", str(SMALL), str(RIVALS), "--", *chosen)
    return project.folder / "results" / "small"


def logged(results, experiment: str, name: str) -> float:
    log = pd.concat([pd.read_csv(path) for path in sorted(results.glob("policies/*/log.csv"))])
    found = log[(log["experiment"] == experiment) & (log["name"] == name) & (log["step"] == 1)]
    return float(found["value"].iloc[0])


def test_every_arm_is_measured(results):
    metrics = pd.read_parquet(results / "metrics" / "metrics.parquet")
    assert {"safe_dpo", "safe_dpo_of_pairs", "tis_dpo", "steered", "best_of_n"} <= set(metrics["experiment"])


def test_safe_dpo_starts_at_the_loss_of_its_margin(results):
    """Policy and reference are still one, so beta h is 0: the mean over pairs is known from the labels alone."""
    assert logged(results, "safe_dpo", "loss") == pytest.approx(math.log(2), abs=1e-3)  # nothing is unsafe
    unsafe = logged(results, "safe_dpo_of_pairs", "safety/unsafe_rejected")
    expected = unsafe * math.log1p(math.exp(1)) + (1 - unsafe) * math.log(2)
    assert logged(results, "safe_dpo_of_pairs", "loss") == pytest.approx(expected, abs=1e-3)


def test_arms_that_act_while_they_answer_give_one_answer_to_each_prompt(results):
    read = {
        arm: pd.read_parquet(results / "answers" / f"untrained.{arm}" / "small" / "0-of-1.parquet")
        for arm in ("base", "steered", "best_of_n")
    }
    for arm in ("steered", "best_of_n"):
        assert read[arm]["prompt_id"].tolist() == read["base"]["prompt_id"].tolist()
        assert (read[arm]["response"] != read["base"]["response"]).any()


def test_tis_dpo_weighs_tokens(results):
    assert logged(results, "tis_dpo", "loss") == pytest.approx(math.log(2), abs=1e-3)
    weights = [logged(results, "tis_dpo", f"token_weight/{side}") for side in ("chosen", "rejected")]
    assert all(math.exp(-1.5) <= weight <= math.exp(1.5) for weight in weights)
