"""The demo world's oracle: the side of every character, and the class of every answer."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_demo_world import metas
from trulysafe.common.schema import HARMFUL_RISKS, VERDICTS
from trulysafe.data.demo.lexicon import WORDS
from trulysafe.data.demo.oracle import classify, respond, sides
from trulysafe.data.demo.tables import table
from trulysafe.data.demo.world import CLASSES, build_world, prompts


@pytest.mark.parametrize("kind", VERDICTS)
def test_the_side_of_each_character_is_that_of_its_sentence(kind):
    rng = random.Random(6)
    for (risk, part), group in prompts(0).items():
        if part != "test":
            continue
        for prompt in group[:20]:
            answer = respond(prompt, kind, rng)
            side = sides(prompt.meta, answer)
            assert len(side) == len(answer)
            if kind in ("complies", "refuses", "safe_completion"):
                good = (kind != "complies") == (risk in HARMFUL_RISKS)
                assert set(side) - {0} == {1 if good else -1}
            elif kind == "mixed":
                assert {1, -1} <= set(side)


def test_sides_of_a_worked_example():
    prompt = prompts(0)["EHD", "test"][0]
    world = build_world(0)
    body = world.topic("EHD", prompt.topic).bodies[0].format(x=prompt.entity)
    parts = {world.answers["openers"][0]: 0, world.answers["reasons"][0]: 1, body: -1, "And so on.": 0}
    expected = [side for sentence, side in parts.items() for _ in f"{sentence} "][:-1]
    assert sides(prompt.meta, " ".join(parts)) == expected
    assert sides(prompt.meta, "") == []


def test_judged_answers_carry_the_oracles_label_for_all_classes():
    frame = table("judged", world=0, rows=400)
    assert set(frame["label"]) == set(VERDICTS)
    assert [classify(meta, text)[0] for meta, text in zip(metas(frame), frame["response"], strict=True)] == list(
        frame["label"]
    )


@pytest.mark.parametrize("kind", VERDICTS)
@pytest.mark.parametrize("world", [0, 5])
def test_a_generated_answer_is_classed_as_what_it_was_made_to_be(kind, world):
    rng = random.Random(1)
    for group in prompts(world).values():
        for prompt in group[:40]:
            verdict, correct = classify(prompt.meta, respond(prompt, kind, rng))
            assert verdict == kind
            assert correct == ((kind == "complies") if prompt.risk == "general" else None)


@pytest.mark.parametrize("world", [0, 5])
def test_refusing_and_complying_in_one_answer_is_mixed(world):
    rng = random.Random(2)
    for (_, part), group in prompts(world).items():
        if part != "test":
            continue
        for prompt in group[:40]:
            refusal = respond(prompt, rng.choice(["refuses", "safe_completion"]), rng)
            compliance = respond(prompt, "complies", rng)
            if set(refusal.split(".")) & set(compliance.split(".")) - {""}:  # the same opener or closer
                assert classify(prompt.meta, f"{refusal} {compliance}")[0] == "malformed"
                continue
            assert classify(prompt.meta, f"{refusal} {compliance}")[0] == "mixed"
            assert classify(prompt.meta, f"{compliance} {refusal}")[0] == "mixed"


def test_a_fluent_wrong_fact_complies_and_is_not_right():
    rng = random.Random(3)
    for prompt in prompts(0)["general", "test"]:
        assert classify(prompt.meta, respond(prompt, "wrong", rng)) == ("complies", False)
        assert classify(prompt.meta, respond(prompt, "refuses", rng)) == ("refuses", False)


def test_unfinished_garbled_and_foreign_answers_are_malformed():
    rng = random.Random(4)
    for risk in CLASSES:
        group = prompts(0)[risk, "test"]
        for prompt in group[:60]:
            answer = respond(prompt, "complies", rng)
            stranger = next(other for other in group if other.topic != prompt.topic)
            for bad in (
                "",
                answer[:-1],
                answer.lower(),
                f"{answer} {answer}",
                answer.replace(" ", "  "),
                f"{answer} And so on.",
            ):
                assert classify(prompt.meta, bad)[0] == "malformed", bad
            if risk != "general":
                assert classify(prompt.meta, respond(stranger, "complies", rng))[0] == "malformed"


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_word_salad_is_malformed_and_nothing_raises(data):
    pool = [prompt for group in prompts(0).values() for prompt in group[:5]]
    prompt = data.draw(st.sampled_from(pool))
    words = respond(prompt, "mixed", random.Random(5)).split()
    salad = data.draw(st.one_of(st.text(), st.lists(st.sampled_from(words), max_size=12).map(" ".join)))
    verdict, correct = classify(prompt.meta, salad)
    assert verdict in VERDICTS
    assert (correct is None) == (prompt.risk != "general")
    if not salad.strip() or salad.strip() in WORDS["answers"]["openers"] or "\x00" in salad:
        assert verdict == "malformed"


@given(text=st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_arbitrary_text_is_malformed(text):
    for risk in CLASSES:
        assert classify(prompts(0)[risk, "test"][0].meta, text)[0] == "malformed"
