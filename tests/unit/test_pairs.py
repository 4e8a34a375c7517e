"""Pairs from ranked samples and from annotated data; every drop is counted."""

import pandas as pd
import pytest

from tests.unit.small_configuration import refused
from trulysafe.common.ids import prompt_id, response_id
from trulysafe.pairs.build import drop_table, rerank, within_length, without_endpoint, without_unusable


def scored(*prompts: tuple[str, str, dict[str, float]]) -> pd.DataFrame:
    rows = [
        {
            "prompt_id": prompt_id(prompt), "prompt": prompt, "risk": risk, "family": "", "source": "", "meta": "{}",
            "response": text, "response_id": response_id(prompt, text, place), "reward": reward,
        }
        for prompt, risk, answers in prompts
        for place, (text, reward) in enumerate(answers.items())
    ]  # fmt: skip
    return pd.DataFrame(rows)


POOL = scored(("p", "EHD", {"a": 0.1, "b": 3.0, "c": -2.0, "d": 1.0, "e": 0.5}))


def sides(pairs: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(pairs["chosen"], pairs["rejected"], strict=True))


def test_best_worst_takes_the_extremes():
    pairs, drops = rerank(POOL)
    assert sides(pairs) == [("b", "c")]
    assert pairs[["chosen_reward", "rejected_reward"]].to_numpy().tolist() == [[3.0, -2.0]]
    assert not drops


def test_top_k_bottom_k_pairs_ranks_and_never_meets_in_the_middle():
    assert sides(rerank(POOL, "top_k_bottom_k", k=4)[0]) == [("b", "c"), ("d", "a")]
    assert sides(rerank(POOL, "top_k_bottom_k", k=1)[0]) == [("b", "c")]


def test_best_vs_random_is_the_same_again_and_never_the_best_itself():
    first, again = rerank(POOL, "best_vs_random")[0], rerank(POOL.sample(frac=1, random_state=1), "best_vs_random")[0]
    assert sides(first) == sides(again)
    assert first["chosen"].item() == "b" != first["rejected"].item()


def test_ties_gaps_and_equal_texts_drop_a_prompt_and_are_counted():
    pool = scored(
        ("tie", "IHD", {"a": 1.0, "b": 1.0}), ("close", "MHD", {"a": 1.0, "b": 0.8}), ("one", "MHD", {"a": 1.0})
    )
    pairs, drops = rerank(pool, min_gap=0.5)
    assert pairs.empty
    assert drop_table(drops) == {"gap": {"IHD": 1, "MHD": 1}, "same text": {"MHD": 1}}
    assert len(rerank(pool)[0]) == 1


EIGHT = {f"answer {place}": float(place) for place in range(8)}


@pytest.mark.parametrize(("k", "expected"), [(4, 4), (3, 3), (9, 4)])
def test_top_k_bottom_k_of_eight_samples_are_the_halves_from_the_outside_in(k, expected):
    pairs, _ = rerank(scored(("p", "EHD", EIGHT)), "top_k_bottom_k", k=k)
    assert sides(pairs) == [(f"answer {7 - place}", f"answer {place}") for place in range(expected)]
    assert pairs["pair_id"].is_unique


def test_equal_texts_are_one_response_before_any_rule():
    repeated = pd.concat([scored(("p", "EHD", {"a": 2.0, "b": 0.0}))] * 3, ignore_index=True)
    for rule in ("best_worst", "top_k_bottom_k", "best_vs_random"):
        assert sides(rerank(repeated, rule)[0]) == [("a", "b")]


def test_the_order_of_the_samples_changes_no_pair():
    tied = scored(("p", "EHD", {"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0}), ("q", "IHD", EIGHT))
    for rule in ("best_worst", "top_k_bottom_k", "best_vs_random"):
        found = [rerank(tied.sample(frac=1, random_state=seed), rule)[0] for seed in range(5)]
        assert all(again.equals(found[0]) for again in found)


def test_best_vs_random_reaches_every_other_response():
    pool = scored(*((f"prompt {number}", "EHD", EIGHT) for number in range(100)))
    pairs, _ = rerank(pool, "best_vs_random")
    counts = pairs["rejected"].value_counts()
    assert set(pairs["chosen"]) == {"answer 7"}
    assert set(counts.index) == set(EIGHT) - {"answer 7"}
    assert counts.min() > 4  # 14 expected


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_the_best_of_n_is_what_a_pool_of_n_samples_would_have_given(n):
    drawn = scored(("p", "EHD", EIGHT), ("q", "IHD", {"a": 2.0, "b": 0.0, "c": 3.0}))
    drawn = drawn.sample(frac=1, random_state=n)
    drawn["sample"] = drawn.groupby("prompt_id").cumcount()
    smaller = drawn[drawn["sample"] < n]
    for rule in ("best_worst", "top_k_bottom_k", "best_vs_random"):
        assert rerank(drawn, rule, n=n)[0].equals(rerank(smaller, rule)[0])


def test_a_gap_must_exceed_its_threshold():
    pool = scored(("p", "EHD", {"a": 1.5, "b": 1.0}))
    assert len(rerank(pool, min_gap=0.49)[0]) == 1
    assert rerank(pool, min_gap=0.5)[0].empty


def test_every_prompt_is_in_the_pairs_or_in_the_drops_of_its_class():
    pool = scored(
        ("p", "EHD", EIGHT), ("q", "EHD", {"a": 1.0}), ("r", "IHD", {"a": 1.0, "b": 1.0}),
        ("s", "", {"a": 2.0, "b": 1.9}),
        ("t", "MHD", {"a": 2.0, "b": 0.0}),
    )  # fmt: skip
    pairs, drops = rerank(pool, min_gap=0.5)
    assert sorted(pairs["risk"]) == ["EHD", "MHD"]
    assert drop_table(drops) == {"gap": {"IHD": 1, "not labelled": 1}, "same text": {"EHD": 1}}
    assert len(pairs) + drops.total() == pool["prompt_id"].nunique()


def test_prompts_without_a_scored_sample_are_counted_by_class():
    samples = scored(("p", "EHD", EIGHT), ("q", "EHD", EIGHT), ("r", "", EIGHT))
    left = samples[samples["prompt"] == "p"]
    assert drop_table(without_endpoint(samples, left)) == {"no finished response": {"EHD": 1, "not labelled": 1}}


def test_top_k_counts_each_pair_that_its_gap_drops():
    pairs, drops = rerank(scored(("p", "EHD", EIGHT)), "top_k_bottom_k", k=4, min_gap=3.0)
    assert sides(pairs) == [("answer 7", "answer 0"), ("answer 6", "answer 1")]
    assert drop_table(drops) == {"gap": {"EHD": 2}}


def test_pairs_carry_the_rewards_that_ranked_them():
    for rule in ("best_worst", "top_k_bottom_k", "best_vs_random"):
        pairs, _ = rerank(scored(("p", "EHD", EIGHT)), rule)
        for pair in pairs.to_dict("records"):
            assert pair["chosen_reward"] == EIGHT[pair["chosen"]] > EIGHT[pair["rejected"]] == pair["rejected_reward"]


def test_unknown_rule_is_refused_at_load():
    assert any("Did you mean 'best_worst'" in line for line in refused({"pairs.reranked.rule": "best_wurst"}))


def annotated(rows: list[tuple[str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["chosen", "rejected"]).assign(prompt="p", risk="EHD")
    return frame.assign(pair_id=frame["chosen"] + "|" + frame["rejected"])


def test_unusable_annotated_pairs_are_dropped_with_their_reason():
    kept, drops = without_unusable(annotated([("a", "b"), (" ", "b"), ("a", "a"), ("a", "b"), ("c", "")]))
    assert sides(kept) == [("a", "b")]
    assert drop_table(drops) == {"empty response": {"EHD": 2}, "repeated": {"EHD": 1}, "same text": {"EHD": 1}}


def test_pairs_with_one_overlong_side_are_dropped_not_cut():
    kept, drops = within_length(
        annotated([("abc", "a"), ("abcdef", "a"), ("a", "abcdef")]), lambda prompt, text: len(text), 5
    )
    assert sides(kept) == [("abc", "a")]
    assert drop_table(drops) == {"too long": {"EHD": 2}}
