"""The demo world: deterministic, disjoint, held out by topic and frame."""

import itertools
import json
import random
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from trulysafe.common.errors import UserError
from trulysafe.common.ids import prompt_id
from trulysafe.common.schema import HARMFUL_RISKS, check_table, write_table
from trulysafe.config.files import raw_configuration
from trulysafe.config.load import load
from trulysafe.data.demo.oracle import classify, respond
from trulysafe.data.demo.tables import MISLABELLED, PARTS, table
from trulysafe.data.demo.world import CARELESS, CAUTIOUS, CAUTIOUS_SHARE, CLASSES, build_world, prompts

ROWS = {"corpus": 400, "development": 1000, "test": 1000, "harmful": 450}
WORLD_SEEDS = (0, 1, 7)


def make(part: str, world: int = 0, seed: int = 0) -> pd.DataFrame:
    return table(part, world=world, rows=ROWS.get(part, 100), seed=seed)


def metas(frame: pd.DataFrame) -> list[dict]:
    return [json.loads(text) for text in frame["meta"]]


@pytest.mark.parametrize("part", PARTS)
def test_the_same_arguments_give_the_same_bytes(part, tmp_path):
    for name in ("a", "b"):
        write_table(make(part, world=3, seed=2), tmp_path / name, PARTS[part])
        prompts.cache_clear()
        build_world.cache_clear()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert not make(part, world=3, seed=3).equals(make(part, world=3, seed=2))


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_its_schema_its_rows_and_content_ids(part):
    frame = make(part)
    assert check_table(frame, PARTS[part], part).equals(frame)
    assert len(frame) == ROWS.get(part, 100)
    assert list(frame["prompt_id"]) == [prompt_id(text) for text in frame["prompt"]]
    if part not in ("corpus", "judged"):
        assert frame["prompt_id"].is_unique


@pytest.mark.parametrize("world", WORLD_SEEDS)
def test_no_two_parts_share_a_prompt(world):
    pools: dict[str, set[str]] = {}
    for (_, part), group in prompts(world).items():
        ids = [prompt_id(prompt.text) for prompt in group]
        assert len(ids) == len(set(ids))
        pools.setdefault(part, set()).update(ids)
    for one, other in itertools.combinations(pools, 2):
        assert not pools[one] & pools[other], (one, other)
    drawn = {part: set(make(part, world)["prompt_id"]) for part in PARTS}
    for one, other in itertools.combinations(drawn, 2):
        assert not drawn[one] & drawn[other], (one, other)


@pytest.mark.parametrize("world", WORLD_SEEDS)
def test_evaluation_has_topics_and_frames_of_its_own(world):
    def seen(*parts, key):
        return {
            (prompt.risk, key(prompt))
            for (_, part), group in prompts(world).items()
            if part in parts
            for prompt in group
        }

    alignment = ("risk_labels", "preferences", "judged", "pairs")
    for key in (lambda prompt: prompt.topic, lambda prompt: prompt.frame):
        sets = [seen(*alignment, key=key), seen("development", key=key), seen("test", key=key)]
        for one, other in itertools.combinations(sets, 2):
            assert not one & other
        assert seen("corpus", key=key) == set.union(*sets)
    for risk in CLASSES:
        assert len(build_world(world).topics[risk]) >= 6


@pytest.mark.parametrize("world", WORLD_SEEDS)
def test_the_corpus_knows_every_word_that_evaluation_asks_and_answers_with(world):
    def words(texts):
        return {word for text in texts for word in text.replace(".", " ").replace("?", " ").split()}

    corpus = table("corpus", world=world, rows=9000)
    known = words(corpus["prompt"]) | words(corpus["response"])
    rng = random.Random(0)
    asked = [
        prompt for (_, part), group in prompts(world).items() if part in ("development", "test") for prompt in group
    ]
    assert words(prompt.text for prompt in asked) <= known
    assert words(respond(prompt, "complies", rng) for prompt in asked) <= known


@pytest.mark.parametrize("part", ["development", "test"])
@pytest.mark.parametrize("world", WORLD_SEEDS)
def test_evaluation_has_200_prompts_of_each_class(part, world):
    counts = make(part, world)["risk"].value_counts()
    assert set(counts.index) == set(CLASSES)
    assert (counts == 200).all()


def test_harmful_prompts_come_at_natural_shares():
    shares = table("harmful", world=0, rows=500)["risk"].value_counts(normalize=True)
    assert {risk: round(100 * share) for risk, share in shares.items()} == {"EHD": 18, "IHD": 62, "MHD": 20}


def test_another_world_asks_other_things_and_words_them_otherwise():
    one, other = (set(make("development", world)["prompt"]) for world in (0, 1))
    assert len(one & other) < 0.1 * len(one)
    worlds = [build_world(seed) for seed in (0, 1)]
    assert worlds[0].answers["refusals"] != worlds[1].answers["refusals"]
    assert worlds[0].items != worlds[1].items
    roles = [{name: role for name, (_, role) in world.topics["EHD"].items()} for world in worlds]
    assert roles[0] != roles[1]


@pytest.mark.parametrize("world", WORLD_SEEDS)
def test_the_test_set_has_ten_topics_of_each_class_and_they_are_its_clusters(world):
    frame = make("test", world)
    for risk, group in frame.groupby("risk"):
        topics = {meta["topic"] for meta in metas(group)}
        assert set(group["family"]) == {f"{risk}/{topic}" for topic in topics}
        assert len(topics) == 10
        assert group["family"].value_counts().min() >= 5


def test_the_base_declines_by_entity_harm_and_look_alikes_alike_and_facts_never():
    corpus = table("corpus", world=0, rows=9000)
    kind = corpus["label"].replace({"safe_completion": "refuses"})
    assert set(kind[corpus["risk"] == "general"]) == {"complies"}
    assert set(kind[corpus["risk"] == "look_alike"]) == {"complies", "refuses"}
    entities = pd.Series([meta["entity"] for meta in metas(corpus)])
    for risk in (*HARMFUL_RISKS, "look_alike"):
        shares = (kind[corpus["risk"] == risk] == "refuses").groupby(entities).mean().sort_values()
        cautious = round(CAUTIOUS_SHARE * len(shares))
        assert shares.iloc[-cautious:].mean() == pytest.approx(CAUTIOUS, abs=0.08)
        assert shares.iloc[:-cautious].mean() == pytest.approx(CARELESS / 2, abs=0.05)
    harmful = kind[corpus["risk"].isin(HARMFUL_RISKS)].value_counts(normalize=True)
    assert harmful["mixed"] == pytest.approx(3 * harmful["complies"], abs=0.05)


def test_the_first_words_of_an_answer_do_not_tell_its_side():
    """A judge that knows how often each first three words start a safe answer errs on a third of the others."""
    corpus = table("corpus", world=0, rows=12000)
    answers = corpus[corpus["risk"].isin(HARMFUL_RISKS)]
    start = answers["response"].str.split().str[:3].str.join(" ")
    declines = answers["label"] != "complies"
    opened = start.isin([" ".join(text.split()[:3]) for text in build_world(0).answers["openers"]])
    assert 0.4 < opened.mean() < 0.7
    assert declines[opened].mean() == pytest.approx(declines.mean(), abs=0.03)
    safe = answers["label"].isin(["refuses", "safe_completion"])
    beginnings = safe.groupby(start).agg(["mean", "size"])
    common = beginnings[(beginnings["size"] >= 30) & (beginnings["mean"] > 0)]
    assert common["mean"].max() < 0.95


@pytest.mark.parametrize("part", ["general_pairs", "look_alike_pairs"])
def test_pairs_of_harmless_prompts_prefer_help(part):
    frame = make(part)
    for row, meta in zip(frame.to_dict("records"), metas(frame), strict=True):
        chosen, rejected = classify(meta, row["chosen"]), classify(meta, row["rejected"])
        if part == "general_pairs":
            assert (chosen, rejected) == (("complies", True), ("complies", False))
        else:
            assert (chosen[0], rejected[0]) == ("complies", "refuses")


def test_the_rewards_pairs_prefer_the_safer_answer_but_for_a_share_of_them():
    frame = table("preferences", world=0, rows=330)
    safety = {"refuses": 2, "safe_completion": 2, "mixed": 1, "complies": 0}
    gaps = [
        safety[classify(meta, row["chosen"])[0]] - safety[classify(meta, row["rejected"])[0]]
        for row, meta in zip(frame.to_dict("records"), metas(frame), strict=True)
    ]
    assert 0 not in gaps
    assert sum(gap < 0 for gap in gaps) / len(gaps) == pytest.approx(MISLABELLED, abs=0.04)
    kinds = [
        {classify(meta, row[side])[0] for side in ("chosen", "rejected")}
        for row, meta in zip(frame.to_dict("records"), metas(frame), strict=True)
    ]
    assert sum("mixed" in pair for pair in kinds) / len(kinds) == pytest.approx(2 / 3, abs=0.07)


def test_bad_arguments_say_what_is_accepted():
    with pytest.raises(UserError, match=r"'developement' is not accepted.*'development'"):
        table("developement", world=0, rows=10)
    with pytest.raises(UserError, match="rows is 0"):
        table("test", world=0, rows=0)
    with pytest.raises(UserError, match=r"EHD prompts asked for.*Lower `rows`"):
        table("harmful", world=0, rows=5000)


def test_every_mix_of_the_demo_shows_harmless_pairs_equally_often():
    """At equal steps, a mix shows as many harmless pairs as their share in it."""
    config = load(raw_configuration(Path(__file__).resolve().parents[2] / "config" / "demo.yaml"))
    shares = set()
    for mix in config.mixes.values():
        harmful = mix.total or sum(mix.quotas.values())
        shares.add(
            tuple(Fraction(mix.others[risk], harmful + sum(mix.others.values())) for risk in ("general", "look_alike"))
        )
    assert len(shares) == 1
    assert all(
        not item.training and not config.methods[str(item.method)].training
        for item in config.experiments.values()
        if item.mix
    )
