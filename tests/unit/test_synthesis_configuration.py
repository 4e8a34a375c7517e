"""Synthesised data sets in a configuration: what is refused before any job, where they stand in the plan, and that
descent keeps the roles of the split apart."""

import json

import pandas as pd
import pytest

from tests.unit.small_configuration import changed, refused
from trulysafe.common.errors import UserError
from trulysafe.common.ids import content_id, prompt_id
from trulysafe.config.load import load
from trulysafe.data.descent import DESCENT
from trulysafe.data.leakage import check
from trulysafe.data.split import assign
from trulysafe.plan.consistency import consistency_problems
from trulysafe.plan.plan import Plan

SERVED = {"backend": "endpoint", "base_url": "http://localhost:8000/v1", "name": "m"}
LOCAL = {"backend": "local", "model": "tiny"}
MIXED = {"kind": "mixed_prompts", "role": "pairs", "datasets": ["harmful"], "llm": "writer", "options": {"rows": 5}}
ATTACKED = {"kind": "adversarial_prompts", "role": "evaluation", "datasets": ["test"], "options": {"rows": 5}}
DISGUISED = {**ATTACKED, "options": {"rows": 5, "families": ["character_level"]}}


def problems(llm=SERVED, **datasets):
    changes = {f"datasets.{name}": stanza for name, stanza in datasets.items()}
    return [*consistency_problems(load(changed({"llms": {"writer": llm}, **changes})))]


def test_sets_that_fit_are_accepted():
    assert not problems(mixed=MIXED, attacked={**ATTACKED, "llm": "writer"}, disguised=DISGUISED)


WRONG = {
    "another role than the seeds": (
        {"mixed": {**MIXED, "role": "evaluation"}},
        "datasets.mixed.role: the role of 'harmful' is 'pairs', that of this set 'evaluation'.",
    ),
    "shares beside a role": (
        {"mixed": {**MIXED, "role": {"pairs": 0.5, "judge": 0.5}}},
        "that of this set pairs: 0.5, judge: 0.5.",
    ),
    "seeds that are synthesised": (
        {"mixed": MIXED, "twice": {**DISGUISED, "role": "pairs", "datasets": ["mixed"]}},
        "datasets.twice.datasets: 'mixed' is synthesised itself.",
    ),
    "seeds that are no prompts": (
        {"mixed": {**MIXED, "datasets": ["general_pairs"]}},
        "datasets.mixed.datasets: 'general_pairs' holds pairs, prompts are needed.",
    ),
    "no model for families that ask one": ({"attacked": ATTACKED}, "datasets.attacked.llm: missing."),
    "a model that nobody asks": ({"attacked": {**DISGUISED, "llm": "writer"}}, "no model is asked. Leave it out."),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused(name):
    datasets, said = WRONG[name]
    assert any(said in problem for problem in problems(**datasets))


def test_a_model_that_waits_for_the_data_cannot_write_them():
    (problem,) = problems(LOCAL, mixed=MIXED)
    assert problem.startswith("datasets.mixed.llm: 'writer' is a model that this workflow trains")


def test_keys_that_are_missing_or_not_read_are_named():
    without = {key: value for key, value in MIXED.items() if key != "llm"}
    assert "datasets.mixed.llm: missing. The kind 'mixed_prompts' needs it." in refused({"datasets.mixed": without})
    (said,) = refused({"datasets.harmful.datasets": ["test"]})
    assert "datasets.harmful.datasets: only the kind 'adversarial_prompts' or" in said
    assert "'hamful'" in refused({"llms": {"writer": SERVED}, "datasets.mixed": {**MIXED, "datasets": ["hamful"]}})[0]


def test_a_set_for_training_is_held_against_all_that_evaluation_may_ask():
    shared = {"role": {"pairs": 0.5, "evaluation": 0.5}}
    changes = {
        "llms": {"writer": SERVED},
        "datasets.harmful": {**changed({})["datasets"]["harmful"], **shared},
        "datasets.mixed": {**MIXED, **shared},
        "datasets.attacked": {**ATTACKED, "llm": "writer"},
    }
    data = Plan(load(changed(changes))).data
    assert data.synthesised == ["mixed", "attacked"]
    assert data.kept_from("mixed") == data.tables(["harmful", "test", "attacked"])
    assert data.kept_from("attacked") == []
    assert data.seeds("mixed") == data.tables(["harmful"])


def test_the_oracle_judges_what_is_made_of_its_world_alone():
    found = {"datasets": ["disguised"], "axis": "safety", "judges": ["oracle"]}
    config = load(changed({"datasets.disguised": DISGUISED, "benchmarks.disguised": found}))
    assert not [*consistency_problems(config)]
    elsewhere = {"kind": "jailbreakbench", "role": "evaluation", "options": {"part": "harmful"}}
    changes = {"datasets.elsewhere": elsewhere, "datasets.disguised": {**DISGUISED, "datasets": ["elsewhere"]}}
    (said,) = consistency_problems(load(changed({**changes, "benchmarks.disguised": found})))
    assert "an oracle, cannot class 'disguised'" in said


SEEDS = [" ".join(content_id(number, word) for word in range(4)) for number in range(40)]
"""Texts that are not alike."""
SHARES = {"pairs": 0.5, "evaluation": 0.5}


def frame(texts, meta=None, source="seeds"):
    metas = meta or ["{}"] * len(texts)
    ids = [prompt_id(text) for text in texts]
    return pd.DataFrame({"prompt_id": ids, "prompt": texts, "meta": metas, "source": source})


def descended(texts, *of):
    notes = [json.dumps({DESCENT: [prompt_id(seed) for seed in seeds]}) for seeds in zip(*of, strict=True)]
    return frame(texts, notes, "made")


def test_what_descends_from_prompts_is_in_their_group_and_role():
    made = descended([content_id("made", number) for number in range(20)], SEEDS[:20], SEEDS[20:])
    split = assign({"seeds": (frame(SEEDS), SHARES), "made": (made, SHARES)}, {}, 0.85).set_index("prompt_id")
    for number, text in enumerate(made["prompt"]):
        three = [split.loc[prompt_id(item)] for item in (text, SEEDS[number], SEEDS[number + 20])]
        assert len({row["group_id"] for row in three}) == 1
        assert len({row["role"] for row in three}) == 1
    assert split["role"].nunique() == 2
    used = {
        role: pd.concat([frame(SEEDS), made])[lambda rows, role=role: rows["prompt_id"].map(split["role"]) == role]
        for role in SHARES
    }
    (entry,) = check(used, 0.85)["pairs"]
    assert (entry["equal"], entry["near"], entry["related"]) == (0, 0, 0)


@pytest.mark.parametrize("seed_is_used", [True, False])
def test_relatives_in_two_roles_are_leakage_though_their_texts_are_far_apart(seed_is_used):
    made = descended(["First made, aaaa", "Second made, bbbb"], [SEEDS[0]] * 2)
    used = {"pairs": made[:1], "evaluation": frame(SEEDS[:1]) if seed_is_used else made[1:]}
    with pytest.raises(UserError, match="0 equal and 0 near-duplicate prompts, and 1 that descend from") as caught:
        check(used, 0.85)
    assert "aaaa" not in str(caught.value)
