"""Order and distribution along training: each measure against what it must say of policies made by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tests.unit.report_world import run_of, texts
from trulysafe.common.errors import UserError
from trulysafe.drift.measures import COLUMNS, REFERENCE, class_distance, drift_rows, order_values, token_divergence
from trulysafe.report.figures.order_and_distribution import order_and_distribution, starting_value
from trulysafe.report.tables import order_and_distribution as table_of_drift

PROMPTS, RESPONSES = 6, 4


def pool(change, seeds=(0, 1), experiment="arm", step=8) -> pd.DataFrame:
    """Likelihoods of a pool; ``change(reference per token, seed)`` gives the policy's per token."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(0)
        for prompt in range(PROMPTS):
            before = rng.permutation(RESPONSES) - 3.0
            now = change(before, seed)
            for place in range(RESPONSES):
                tokens = 2 + place
                rows.append(
                    {
                        "experiment": experiment, "seed": seed, "step": step, "prompt_id": f"p{prompt}",
                        "family": f"f{prompt % 3}",
                        "response_id": f"p{prompt}r{place}", "risk": "EHD", "tokens": tokens,
                        "logp": now[place] * tokens,
                        "reference_logp": before[place] * tokens,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def fresh(experiment: str, seed: int, ids: list[list[int]], verdicts: list[str], logps: list[float], step: int = 8):
    rows = [
        {
            "experiment": experiment, "seed": seed, "step": 0 if experiment == REFERENCE else step,
            "prompt_id": f"q{place}",
            "sample": 0, "family": f"f{place % 2}", "risk": "EHD", "finished": True, "tokens": len(one),
            "token_ids": one,
            "verdict": verdict, "reference_logp": logp,
        }
        for place, (one, verdict, logp) in enumerate(zip(ids, verdicts, logps, strict=True))
    ]  # fmt: skip
    return pd.DataFrame(rows)


OWN = [
    fresh(REFERENCE, 0, [[1, 2], [1, 2]], ["complies", "refuses"], [-2.0, -4.0]),
    fresh(REFERENCE, 1, [[1, 2], [1, 3]], ["complies", "complies"], [-2.0, -4.0]),
]
POLICY = [fresh("arm", seed, [[1, 2], [3, 3]], ["refuses", "refuses"], [-3.0 - seed, -5.0 - seed]) for seed in (0, 1)]
FRESH = pd.concat([*OWN, *POLICY], ignore_index=True)


def test_the_reference_itself_keeps_order_and_distribution():
    rows = drift_rows(pool(lambda before, seed: before), FRESH).set_index("measure")["value"]
    assert rows[["kendall", "spearman", "same_best"]].tolist() == [1.0, 1.0, 1.0]
    assert rows["pool_shift"] == 0.0


def test_a_reversed_order_leaves_the_distribution_alone():
    """The hypothesis in its pure form: other ranks, the same likelihoods."""
    rows = drift_rows(pool(lambda before, seed: before[::-1] * 0 - before - 3.0), FRESH).set_index("measure")["value"]
    assert rows["kendall"] == rows["spearman"] == -1.0
    assert rows["same_best"] == 0.0
    assert rows["pool_shift"] == pytest.approx(0.0)


def test_a_shift_of_every_likelihood_leaves_the_order_alone():
    rows = drift_rows(pool(lambda before, seed: before - 0.5 - seed), FRESH).set_index("measure")["value"]
    assert rows["kendall"] == 1.0
    assert rows["pool_shift"] == pytest.approx(-1.0)  # -0.5 and -1.5 nats per token


def test_length_plays_no_part_in_the_order():
    """Sums over tokens would be ordered by length; per token the order is the one of the policy."""
    values = order_values(pool(lambda before, seed: np.roll(before, 1)))
    expected = []
    for _, group in pool(lambda before, seed: np.roll(before, 1)).groupby(["seed", "prompt_id"]):
        now, then = (group[name].to_numpy() / group["tokens"].to_numpy() for name in ("logp", "reference_logp"))
        signs = [np.sign(now[i] - now[j]) * np.sign(then[i] - then[j]) for i in range(4) for j in range(i)]
        expected.append(sum(signs) / 6)
    assert values["kendall"].tolist() == pytest.approx(expected)


def test_prompts_without_an_order_are_left_out():
    table = pool(lambda before, seed: before)
    table.loc[table["prompt_id"] == "p0", "logp"] = -table["tokens"]  # all equally likely
    table = table[(table["prompt_id"] != "p1") | table["response_id"].isin(["p1r0", "p1r1"])]  # two responses
    assert set(order_values(table)["prompt_id"]) == {f"p{number}" for number in range(2, PROMPTS)}
    with pytest.raises(UserError, match="3 distinct finished responses"):
        order_values(table[table["prompt_id"].isin(["p0", "p1"])])


def test_token_divergence_by_hand():
    def ids(*texts):
        return pd.DataFrame({"token_ids": [list(text) for text in texts]})

    assert token_divergence(ids([1, 2], [3]), ids([3, 2], [1])) == pytest.approx(0.0)
    assert token_divergence(ids([1, 1]), ids([2])) == pytest.approx(1.0)
    middle = (0.75, 0.25)  # of (1/2, 1/2) and (1, 0)
    expected = (0.5 * math.log2(0.5 / middle[0]) + 0.5 * math.log2(0.5 / middle[1]) + math.log2(1 / middle[0])) / 2
    assert token_divergence(ids([1, 2]), ids([1, 1, 1])) == pytest.approx(expected)


def test_class_distance_by_hand():
    def verdicts(*names):
        return pd.DataFrame({"verdict": names})

    assert class_distance(verdicts("complies", "refuses"), verdicts("refuses", "complies")) == 0.0
    assert class_distance(verdicts("complies"), verdicts("malformed")) == 1.0
    assert class_distance(verdicts("complies", "refuses"), verdicts("refuses")) == 0.5


def test_new_samples_are_held_against_the_reference_and_its_own_floor():
    rows = drift_rows(pool(lambda before, seed: before), FRESH).set_index("measure")
    # per token: the policy -1.5, -2.5 (seed 0) and -2, -3 (seed 1); the reference -1 and -2 on the same prompts
    assert rows.loc["fresh_shift", "value"] == pytest.approx(-0.75)
    assert rows.loc["class_tv", "value"] == 0.5
    assert rows.loc["class_tv", "floor"] == 0.5
    assert rows.loc["token_js", "floor"] == pytest.approx(token_divergence(OWN[1], OWN[0]))
    assert rows.loc["token_js", "value"] > rows.loc["token_js", "floor"] > 0


def test_samples_without_an_end_count_as_samples_but_have_no_likelihood():
    cut = FRESH.copy()
    cut.loc[(cut["experiment"] == "arm") & (cut["prompt_id"] == "q1"), "reference_logp"] = np.nan
    rows = drift_rows(pool(lambda before, seed: before), cut).set_index("measure")
    assert rows.loc["fresh_shift", "n"] == 2
    assert rows.loc["token_js", "n"] == 4
    assert rows.loc["fresh_shift", "value"] == pytest.approx(-0.75)


def test_rows_say_their_seeds_and_side():
    rows = drift_rows(pool(lambda before, seed: before - seed), FRESH)
    assert list(rows) == COLUMNS
    assert set(rows["seeds"]) == {2}
    assert set(rows.loc[rows["side"] == "order", "measure"]) == {"kendall", "spearman", "same_best"}
    known = rows.dropna(subset="ci_low")
    assert {"same_best", "pool_shift", "fresh_shift"} <= set(known["measure"])
    assert known["ci_low"].le(known["value"] + 1e-9).all()
    assert known["ci_high"].ge(known["value"] - 1e-9).all()


def test_limits_stay_within_what_a_measure_can_be_and_are_absent_without_spread():
    mixed = pool(lambda before, seed: before.copy())
    swapped = mixed["prompt_id"].isin(["p0"])
    mixed.loc[swapped, "logp"] = -mixed.loc[swapped, "reference_logp"]
    rows = drift_rows(mixed, FRESH).set_index("measure")
    assert -1 < rows.loc["kendall", "ci_low"] < rows.loc["kendall", "value"] < rows.loc["kendall", "ci_high"] <= 1
    one_seed = FRESH[(FRESH["experiment"] == REFERENCE) | (FRESH["seed"] == 0)]
    rows = drift_rows(pool(lambda before, seed: before, seeds=(0,)), one_seed).set_index("measure")
    assert rows.loc[["class_tv", "token_js", "pool_shift", "kendall"], ["ci_low", "ci_high"]].isna().all(axis=None)
    assert rows.loc["same_best", "ci_low"] < 1.0  # a share has a width even where all answers are alike


def test_nothing_followed_is_an_error():
    with pytest.raises(UserError, match=r"drift\.experiments"):
        drift_rows(pool(lambda before, seed: before).iloc[:0], FRESH)


ARMS = {"arm": {"label": "An arm", "group": "main"}, "other": {"label": "Another", "group": "main"}}


def report_rows() -> pd.DataFrame:
    tables = [pool(lambda before, seed: before - 0.1, step=step) for step in (4, 8)]
    more = pd.concat([*OWN, *POLICY, *(one.assign(step=4) for one in POLICY)], ignore_index=True)
    return drift_rows(pd.concat(tables, ignore_index=True), more)


def test_figure_and_table_are_written(tmp_path):
    rows = report_rows()
    paths = order_and_distribution(rows, ARMS).write(tmp_path / "figure")
    assert all(path.stat().st_size for path in paths)
    text = texts(table_of_drift.table(run_of(ARMS, drift=rows)).shown)
    assert text["Arm"].tolist() == ["An arm"]
    assert text["Step"].tolist() == [8]
    assert any("floor 0.50" in column for column in text.columns)
    assert text["Kendall's tau"].item().startswith("1.00")


def test_figure_of_arms_that_nobody_followed_is_refused():
    with pytest.raises(UserError, match=r"drift\.experiments"):
        order_and_distribution(report_rows(), {"other": {}})


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({}, [1.0]),
        ({"base": "model", "start": "model"}, [1.0]),
        ({"base": "model", "start": "arm"}, [0.25]),  # its last step
        ({"base": "model", "start": "not followed"}, []),
        ({"base": "model"}, []),  # an earlier step of some arm
    ],
)
def test_a_line_starts_where_its_arm_starts(about, expected):
    rows = pd.DataFrame({"experiment": ["arm", "arm", "other"], "step": [8, 4, 8], "value": [0.25, 0.5, 0.75]})
    assert starting_value(rows, about, unchanged=1.0) == expected
