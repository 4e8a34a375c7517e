"""Distinct-n by hand, self-BLEU as sacrebleu scores each sentence, and metric rows of policies."""

import math

import numpy as np
import pandas as pd
import pytest
from sacrebleu.metrics.bleu import BLEU

from trulysafe.common.ids import prompt_id
from trulysafe.evaluate.diversity import METRICS, TEXT, diversity, diversity_rows, pooled_rows, self_bleu
from trulysafe.evaluate.metrics import POOLED

BENCHMARKS = {"harmful": {"axis": "safety"}, "questions": {"axis": "helpfulness", "purpose": "test"}}


def test_distinct_n_by_hand():
    found = diversity(["a b a b", "a b c"])
    # unigrams a b a b a b c: 3 of 7; bigrams ab ba ab ab bc: 3 of 5; trigrams aba bab abc: 3 of 3
    assert (found["distinct_1"], found["distinct_2"], found["distinct_3"]) == (3 / 7, 3 / 5, 1.0)
    assert math.isnan(found["self_bleu_same_prompt"])


def test_equal_answers_are_as_alike_as_can_be():
    found = diversity(["I cannot help with that."] * 5)
    assert found["self_bleu"] == pytest.approx(1.0)
    assert found["distinct_1"] == pytest.approx(6 / 30)  # the full stop is a token


def test_self_bleu_by_hand():
    # "a b c d e" against "a b c d f": precisions 4/5, 3/4, 2/3, 1/2, equal lengths
    expected = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert self_bleu(["a b c d e", "a b c d f"]) == pytest.approx([expected] * 2)


def test_self_bleu_is_sacrebleus_sentence_score_against_all_others():
    rng = np.random.default_rng(0)
    words = ["the", "a", "cat", "sat", "mat,", "on", "on", "Dog.", "don't", "1,000"]
    texts = [" ".join(rng.choice(words, size)) for size in rng.integers(0, 25, 40)] + ["the the the", "", "cat"]
    plain = BLEU(effective_order=True)
    expected = [plain.sentence_score(text, texts[:i] + texts[i + 1 :]).score / 100 for i, text in enumerate(texts)]
    assert self_bleu(texts) == pytest.approx(expected)
    assert diversity(texts)["self_bleu"] == pytest.approx(np.mean(expected))


def test_answers_to_one_prompt_are_compared_with_each_other():
    found = diversity(["a b c d e", "a b c d f", "x y z w v", "q"], ["1", "1", "2", "3"])
    assert found["self_bleu_same_prompt"] == pytest.approx(np.mean(self_bleu(["a b c d e", "a b c d f"])))
    assert found["self_bleu"] < found["self_bleu_same_prompt"]


def test_where_there_is_nothing_to_count():
    assert all(math.isnan(value) for value in diversity([]).values())
    single = diversity(["one two"])
    assert single["distinct_2"] == 1.0
    assert math.isnan(single["distinct_3"])
    assert math.isnan(single["self_bleu"])
    assert diversity(["", ""])["self_bleu"] == 0.0


def answers(seeds=2, steps=(5, 9)):
    rows = []
    for seed in range(seeds):
        for step in steps:
            for number in range(12):
                benchmark, risk = ("harmful", ("EHD", "IHD")[number % 2]) if number < 8 else ("questions", "general")
                text = f"I cannot help with {number}" if step == max(steps) else "word " * number
                rows.append(("arm", seed, step, benchmark, risk, f"prompt {number}", f"{text} {'x' * seed}"))
    frame = pd.DataFrame(rows, columns=["experiment", "seed", "step", "benchmark", "risk", "prompt", "response"])
    frame["prompt_id"] = frame["prompt"].map(prompt_id)
    return frame


def test_rows_per_axis_class_and_seed_at_the_end_point():
    table = answers()
    rows = diversity_rows(table, BENCHMARKS, "id", most=100)
    assert set(rows["judge"]) == {TEXT}
    assert set(rows["step"]) == {9}
    assert set(rows["policy"]) == {"arm/seed0/step9", "arm/seed1/step9"}
    views = set(zip(rows["benchmark"], rows["risk"], strict=True))
    assert views == {(f"test/{axis}", risk) for axis,
        risk in [("safety", "EHD"), ("safety", "IHD"), ("safety", "all"), ("helpfulness", "general"),
            ("helpfulness", "all")]}  # fmt: skip
    mine = table[(table["step"] == 9) & (table["seed"] == 1) & (table["risk"] == "EHD")]
    expected = diversity(mine["response"].tolist())
    found = rows[(rows["seed"] == 1) & (rows["risk"] == "EHD")].set_index("metric")
    assert set(found.index) == set(METRICS) - {"self_bleu_same_prompt"}
    assert found["value"].to_dict() == pytest.approx({name: expected[name] for name in found.index})
    assert (found["n"] == 4).all()


def test_a_cap_takes_the_same_prompts_in_every_arm_whatever_the_order():
    table = answers(steps=(9,))
    other = table.sample(frac=1, random_state=3).assign(experiment="other")
    rows = diversity_rows(pd.concat([table, other]), BENCHMARKS, "id", most=3)
    assert rows["n"].max() == 3
    values = [rows[rows["experiment"] == name]["value"].to_numpy() for name in ("arm", "other")]
    assert values[0] == pytest.approx(values[1])


def test_seeds_are_pooled_with_students_limits():
    rows = diversity_rows(answers(seeds=3), BENCHMARKS, "id", most=100)
    pooled = pooled_rows(rows)
    assert set(pooled["seed"]) == {POOLED}
    one = rows[(rows["metric"] == "distinct_1") & (rows["benchmark"] == "test/safety") & (rows["risk"] == "all")]
    row = pooled[
        (pooled["metric"] == "distinct_1") & (pooled["benchmark"] == "test/safety") & (pooled["risk"] == "all")
    ]
    values = one["value"].to_numpy()
    half = 4.302652729911275 * values.std(ddof=1) / math.sqrt(3)  # t of 2 degrees of freedom
    assert row["value"].item() == pytest.approx(values.mean())
    assert row["ci_low"].item() == pytest.approx(max(values.mean() - half, 0.0))
    assert row["n"].item() == one["n"].sum()
    assert pooled_rows(rows[rows["seed"] == 0])["ci_low"].isna().all()
    assert pooled_rows(rows.iloc[:0]).empty


def test_equal_answers_of_any_length_score_exactly_one() -> None:
    for words in range(1, 30):
        assert self_bleu(["go " * words] * 3) == [1.0] * 3
