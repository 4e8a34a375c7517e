"""Pairs that a pool cannot give are refused once its prompts are labelled, and nothing is refused that might still be
had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from trulysafe.common.errors import UserError
from trulysafe.config.load import load
from trulysafe.plan.bounds import refuse_too_many
from trulysafe.plan.plan import Plan

SMALL = Path(__file__).parents[1] / "workflow" / "small.yaml"
PROMPTS = pd.DataFrame({"risk": ["EHD"] * 5 + ["IHD"] * 3 + ["look_alike"] * 2})
ANNOTATED = pd.DataFrame({"risk": ["general"] * 4 + ["look_alike"] * 3})
FDC = {"rule": "quota", "quotas": {"EHD": 5, "IHD": 3}, "others": {"general": 4}}


def check(mix: dict[str, Any], pairs: dict[str, Any] | None = None) -> None:
    """Hold a mix of the small configuration against the prompts above; each annotated data set holds the pairs
    above."""
    raw = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    raw["mixes"] = {"random": {"pairs": ["reranked", "harmless"], **mix}}
    raw["pairs"]["reranked"] |= pairs or {}
    raw["pairs"]["harmless"]["datasets"] = ["general_pairs"]
    refuse_too_many(Plan(load(raw)), "harmful", PROMPTS, lambda path: ANNOTATED)


def test_what_can_be_had_at_most_passes():
    check(FDC)
    check({"rule": "random", "total": 8})
    check({"rule": "ratio", "ratios": {"EHD": 1.25}, "others": {"general": 4}})


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        (FDC | {"quotas": {"EHD": 6}},
            ["mixes.random.quotas.EHD: 6 pairs of class EHD", "at most 5", "pools.harmful.rows"]),
        (FDC | {"quotas": {"MHD": 1}}, ["quotas.MHD: 1 pairs of class MHD", "the 0 prompts", "at most 0"]),
        ({"rule": "random", "total": 9}, ["mixes.random.total: 9 pairs of class EHD/IHD/MHD", "at most 8"]),
        ({"rule": "ratio", "ratios": {"EHD": 1.5}, "others": {"general": 4}}, ["ratios.EHD: 6 pairs", "at most 5"]),
        (FDC | {"others": {"general": 5}}, ["others.general: 5 pairs of class general", "at most 4"]),
        (FDC | {"others": {"look_alike": 6}}, ["others.look_alike: 6", "at most 5"]),
    ],
)  # fmt: skip
def test_more_is_refused_with_class_number_and_what_to_do(mix, words):
    with pytest.raises(UserError) as caught:
        check(mix)
    assert all(word in str(caught.value) for word in words), caught.value


def test_several_pairs_of_a_prompt_count():
    twice = {"rule": "top_k_bottom_k", "k": 4}  # four samples give two pairs
    check(FDC | {"quotas": {"EHD": 10}}, twice)
    with pytest.raises(UserError, match="at most 10"):
        check(FDC | {"quotas": {"EHD": 11}}, twice)


def test_a_limit_on_the_rows_of_a_table_counts():
    with pytest.raises(UserError, match="at most 2"):
        check(FDC, {"rows": 2})


def test_nothing_is_refused_where_classes_are_not_known_yet():
    raw = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    raw["mixes"]["random"] |= {"total": 999}
    raw["pairs"]["harmless"]["labeller"] = "risk"
    refuse_too_many(Plan(load(raw)), "harmful", PROMPTS, lambda path: ANNOTATED)
    raw["pools"]["other"] = raw["pools"]["harmful"]
    raw["pairs"]["harmless"] = raw["pairs"]["reranked"] | {"pool": "other"}
    refuse_too_many(Plan(load(raw)), "harmful", PROMPTS, lambda path: ANNOTATED)


def test_a_mix_that_no_experiment_draws_asks_for_nothing():
    raw = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    raw["mixes"]["unused"] = {"pairs": ["reranked"], "rule": "random", "total": 999}
    refuse_too_many(Plan(load(raw)), "harmful", PROMPTS, lambda path: ANNOTATED)
