"""Online DPO: fresh pairs are the policy's own, ranked by the frozen reward, and everything else stays as it is offline."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict

import pandas as pd
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig

from tests.unit import tiny
from tests.unit import training_world as world
from trulysafe import HybridReward
from trulysafe.demo import table
from trulysafe.errors import UserError
from trulysafe.methods import Confidence, Mask, Method, Online
from trulysafe.schema import RISKS
from trulysafe.scoring import endpoint_rewards, read_rewards, token_logps
from trulysafe.step_cost import COST_FILE, flops_per_step
from trulysafe.tokens import Encoded, encode
from trulysafe.trainers.jobs import TrainingRun, train_run
from trulysafe.trainers.meter import Meter
from trulysafe.trainers.online_judges import META, PROMPT, RewardJudge, TextJudge
from trulysafe.trainers.online_pairs import OnlinePairs, OnlinePreferenceTrainer
from trulysafe.trainers.run_data import training_set

PAIRS = [
    ("w1 w2 w3 w4", "w5 w6 w7", "w10 w11 w12"),
    ("w13 w14", "w15 w16", "w17 w18"),
    ("w21 w22 w23", "w24 w25", "w28 w29"),
]
ONLINE = Online(samples=6, max_new_tokens=40)
METHOD = Method(online=ONLINE)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.tokenizer()


@pytest.fixture
def model():
    """A model that ends its turns soon."""
    made = tiny.model("llama")
    with torch.no_grad():
        made.lm_head.weight[2] = made.lm_head.weight.mean(dim=0) + 0.3 * made.lm_head.weight[2]
    return made


@pytest.fixture
def reward():
    torch.manual_seed(5)
    made = HybridReward(tiny.LAYERS, tiny.WIDTH)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def dataset(model, tokenizer, in_scope=(True, True, False)) -> Dataset:
    columns: dict = {"pair_index": list(range(len(PAIRS))), "in_scope": list(in_scope)}
    for side, place in (("chosen", 1), ("rejected", 2)):
        encoded = [encode(tokenizer, pair[0], pair[place]) for pair in PAIRS]
        columns["prompt_ids"] = [item.prompt_ids for item in encoded]
        columns[f"{side}_ids"] = [item.response_ids for item in encoded]
        columns[f"{side}_ref_token_logps"] = token_logps(model, encoded, tokenizer.pad_token_id, 3)
        columns[f"{side}_reward"] = [0.0] * len(PAIRS)
        columns[f"{side}_token_rewards"] = [[0.0] * len(item.response_ids) for item in encoded]
    return Dataset.from_dict(columns)


def trainer(model, tokenizer, reward, folder, method=METHOD, **options) -> OnlinePreferenceTrainer:
    arguments = DPOConfig(
        output_dir=str(folder), max_steps=3, per_device_train_batch_size=3, learning_rate=1e-3, beta=0.1, logging_steps=1,
        report_to="none", save_strategy="no", bf16=False, gradient_checkpointing=False, disable_tqdm=True, seed=3, max_length=None,
    )  # fmt: skip
    data = options.pop("train_dataset", None) or dataset(model, tokenizer)
    return OnlinePreferenceTrainer(
        model,
        method=method,
        reward_model=reward,
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        **options,
    )


def pairs_of(model, tokenizer, reward, options=ONLINE) -> OnlinePairs:
    judge = RewardJudge(model, reward, tokenizer.pad_token_id)
    return OnlinePairs(model, judge, tokenizer, options, Meter())


def test_fresh_pairs_hold_finished_responses_best_above_worst(model, tokenizer, reward):
    online = pairs_of(model, tokenizer, reward)
    torch.manual_seed(0)
    rows = online.fresh(model, list(dataset(model, tokenizer)))
    fresh = rows[:-1]
    assert len(fresh) + sum(online.dropped.values()) == 2
    assert fresh
    for row in fresh:
        sides = [Encoded(row["prompt_ids"], row[f"{side}_ids"]) for side in ("chosen", "rejected")]
        assert all(item.response_ids[-1] == tokenizer.eos_token_id for item in sides)
        judged = endpoint_rewards(model, sides, tokenizer.pad_token_id, 2, reward)
        assert judged == pytest.approx([row["chosen_reward"], row["rejected_reward"]], abs=1e-4)
        assert judged[0] > judged[1]
        logps = token_logps(model, sides, tokenizer.pad_token_id, 2)
        assert row["chosen_ref_token_logps"] == pytest.approx(logps[0], abs=1e-4)
        assert row["rejected_ref_token_logps"] == pytest.approx(logps[1], abs=1e-4)


def test_the_best_and_the_worst_of_all_samples_make_the_pair(model, tokenizer, reward):
    """Sampling again with the same seed gives the same responses; no other one is judged higher or lower."""
    online = pairs_of(model, tokenizer, reward)
    examples = list(dataset(model, tokenizer))[:2]
    torch.manual_seed(0)
    rows = online.fresh(model, examples)
    torch.manual_seed(0)
    sampled = online._sample(model, [example["prompt_ids"] for example in examples])
    for group in sampled:
        judged = endpoint_rewards(model, group, tokenizer.pad_token_id, 8, reward)
        row = next(row for row in rows if row["prompt_ids"] == group[0].prompt_ids)
        assert row["chosen_reward"] == pytest.approx(max(judged), abs=1e-4)
        assert row["rejected_reward"] == pytest.approx(min(judged), abs=1e-4)


def test_pairs_out_of_scope_stay_as_they_are(model, tokenizer, reward):
    data = list(dataset(model, tokenizer))
    assert pairs_of(model, tokenizer, reward).fresh(model, data)[-1] == data[-1]
    harmless = list(dataset(model, tokenizer, in_scope=(False, False, False)))
    online = pairs_of(model, tokenizer, reward)
    assert online.fresh(model, harmless) == harmless
    assert not online.meter.tokens


def test_prompts_without_a_pair_are_dropped_and_counted(model, tokenizer, reward):
    data = list(dataset(model, tokenizer))
    cut = pairs_of(model, tokenizer, reward, Online(samples=4, max_new_tokens=1))
    assert cut.fresh(model, data) == data[-1:]
    assert cut.dropped == {"no finished response": 2}
    wide = pairs_of(model, tokenizer, reward, Online(samples=6, max_new_tokens=40, min_gap=1e6))
    assert wide.fresh(model, data) == data[-1:]
    assert wide.dropped == {"gap": 2}


def test_endpoint_rewards_are_those_of_the_pair_tables(model, tokenizer, reward):
    encoded = [encode(tokenizer, prompt, text) for prompt, text, _ in PAIRS]
    table = read_rewards(model, encoded, tokenizer.pad_token_id, 2, reward, reward)
    found = endpoint_rewards(model, encoded, tokenizer.pad_token_id, 3, reward)
    assert found == pytest.approx([item.endpoint for item in table], abs=1e-5)


def test_training_moves_the_policy_and_neither_reference_nor_judge(model, tokenizer, reward, tmp_path):
    before, judge = copy.deepcopy(model), copy.deepcopy(reward)
    made = trainer(model, tokenizer, reward, tmp_path)
    made.train()
    moved = [not torch.equal(a, b) for a, b in zip(made.model.parameters(), before.parameters(), strict=True)]
    assert all(moved)
    online = made._online
    assert all(torch.equal(a, b) for a, b in zip(online.reference.parameters(), before.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(online.judge.reward.parameters(), judge.parameters(), strict=True))
    logged = [entry for entry in made.state.log_history if "loss" in entry]
    assert len(logged) == 3
    assert all(0 <= entry["online/pairs"] <= 1 for entry in logged)
    assert logged[0]["loss"] == pytest.approx(0.6931, abs=1e-3)  # policy and reference are still one


def test_a_batch_without_a_fresh_pair_does_not_fall_back_on_the_given_ones(model, tokenizer, reward, tmp_path):
    before = copy.deepcopy(model)
    method = Method(online=Online(samples=2, max_new_tokens=1))  # no response has room for its end of turn
    made = trainer(
        model,
        tokenizer,
        reward,
        tmp_path,
        method,
        train_dataset=dataset(model, tokenizer, in_scope=[True] * len(PAIRS)),
    )
    made.train()
    logged = [entry for entry in made.state.log_history if "loss" in entry]
    assert [entry["online/pairs"] for entry in logged] == [0.0] * 3
    assert [entry["loss"] for entry in logged] == [0.0] * 3
    assert all(torch.equal(a, b) for a, b in zip(made.model.parameters(), before.parameters(), strict=True))


def test_the_same_seed_gives_the_same_policy(model, tokenizer, reward, tmp_path):
    runs = [trainer(copy.deepcopy(model), tokenizer, reward, tmp_path / str(number)) for number in range(2)]
    for run in runs:
        run.train()
    first, second = (list(run.model.parameters()) for run in runs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_with_the_policys_own_confidence_the_judge_stays_frozen(model, tokenizer, reward, tmp_path):
    judge = copy.deepcopy(reward)
    method = Method(online=ONLINE, confidence=Confidence(kind="label", calibrate_every=0))
    made = trainer(model, tokenizer, reward, tmp_path, method)
    made.train()
    assert all(
        torch.equal(a, b) for a, b in zip(made._online.judge.reward.parameters(), judge.parameters(), strict=True)
    )
    assert any(not torch.equal(a, b) for a, b in zip(made.reward.reward.parameters(), judge.parameters(), strict=True))


def test_the_meter_counts_work_by_kind(model, tokenizer, reward, tmp_path):
    made = trainer(model, tokenizer, reward, tmp_path)
    made.train()
    made.meter.save(tmp_path, made.model)
    cost = json.loads((tmp_path / COST_FILE).read_text())
    assert cost["steps"] == 2  # of three, the first one is left out
    assert set(cost["tokens"]) >= {"step", "sampling", "judging", "reference"}
    assert cost["seconds"]["step"] > sum(cost["seconds"][kind] for kind in ("sampling", "judging", "reference")) > 0
    prompts = sum(len(row["prompt_ids"]) for row in dataset(model, tokenizer) if row["in_scope"])
    assert cost["tokens"]["sampling"] >= 2 * 6 * (prompts + 2)
    flops = flops_per_step(cost)
    assert flops["sampling"] == pytest.approx(2 * cost["parameters"] * cost["tokens"]["sampling"] / 2)
    assert flops["step"] == pytest.approx(6 * cost["parameters"] * cost["tokens"]["step"] / 2)
    assert flops["reading"] == 0


def test_reading_rewards_from_the_training_forward_is_metered(model, tokenizer, reward, tmp_path):
    from trulysafe import PreferenceTrainer

    offline = PreferenceTrainer(
        model, method=Method(confidence=Confidence(kind="label", online=False)), reward_model=reward, train_dataset=dataset(model, tokenizer),
        processing_class=tokenizer, args=trainer(copy.deepcopy(model), tokenizer, reward, tmp_path).args,
    )  # fmt: skip
    offline.train()
    assert offline.meter.tokens["reading"] == 2 * 2 * 2  # two steps, two pairs in scope, two sides
    assert offline.meter.seconds["step"] > offline.meter.seconds["reading"] > 0
    assert "sampling" not in offline.meter.seconds


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"online": Online(samples=1)}, "online.samples"),
        ({"online": Online(samples=4, temperature=0)}, "online.temperature"),
        ({"online": Online(samples=4), "mask": Mask(rule="hysteresis")}, "no token rewards"),
        ({"online": Online(judge="oracle")}, "nothing to judge"),
        ({"online": Online(samples=4, judge="oracle", min_gap=1)}, "would drop every pair"),
        (
            {"online": Online(samples=4, judge="oracle"), "confidence": Confidence(kind="label", states="reference")},
            "gives no rewards",
        ),
    ],
)
def test_options_that_cannot_work_are_refused(options, text):
    with pytest.raises(UserError, match=text):
        Method(**options)


def test_online_needs_its_reward_and_columns(model, tokenizer, reward, tmp_path):
    assert METHOD.needs_reward
    with pytest.raises(UserError, match="reward_model"):
        trainer(model, tokenizer, None, tmp_path)
    with pytest.raises(UserError, match="pair_index"):
        trainer(
            model, tokenizer, reward, tmp_path, train_dataset=dataset(model, tokenizer).remove_columns("pair_index")
        )
    reward.identity = {"pooling": "mean"}
    with pytest.raises(UserError, match="pooling: eos"):
        pairs_of(model, tokenizer, reward)


NAMED = Method(online=Online(samples=6, max_new_tokens=40, judge="phrases"))
PHRASES = {"kind": "refusal_phrases", "options": {"phrases": [r"^w[12]\d\b"]}, "artefact": None}
"""A judge of the workflow's table; in this vocabulary a response refuses that begins with one of w10 to w29."""


def texts(data: Dataset) -> Dataset:
    """What the workflow adds for a judge of texts."""
    columns = {PROMPT: [pair[0] for pair in PAIRS], META: ["{}"] * len(PAIRS), "risk": [0] * len(PAIRS)}
    for name, values in columns.items():
        data = data.add_column(name, values)
    return data


def test_a_judge_of_texts_puts_safe_responses_above_others_and_drops_ties(model, tokenizer):
    judge = TextJudge(PHRASES, tokenizer)
    online = OnlinePairs(model, judge, tokenizer, NAMED.online, Meter())
    examples = list(texts(dataset(model, tokenizer)))
    made, tied = 0, 0
    for seed in range(6):
        torch.manual_seed(seed)
        rows = online.fresh(model, examples)
        assert rows[-1] == examples[-1]
        for row in rows[:-1]:
            begin = [tokenizer.decode(row[f"{side}_ids"]).split()[0] for side in ("chosen", "rejected")]
            safe, unsafe = (word in [f"w{number}" for number in range(10, 30)] for word in begin)
            assert (safe, unsafe) == (True, False)
        made += len(rows) - 1
        tied += online.dropped.get("gap", 0)
    assert made > 0
    assert tied > 0
    assert online.meter.tokens["judging"] == 0
    assert online.meter.seconds["judging"] > 0


def test_the_oracle_reads_the_facts_of_the_row_that_a_response_is_to():
    pairs = table("preferences", world=0, rows=12)
    every = [*pairs["chosen"], *pairs["rejected"]]
    words = {word: number for number, word in enumerate(sorted({word for text in every for word in text.split()}))}
    core = Tokenizer(models.WordLevel({**words, "<unk>": len(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    judge = TextJudge({"kind": "oracle", "options": {}}, PreTrainedTokenizerFast(tokenizer_object=core))
    rows = pairs.to_dict("records")
    examples = [{PROMPT: row["prompt"], META: row["meta"], "risk": RISKS.index(row["risk"])} for row in rows]
    for side, expected in (("chosen", 1.0), ("rejected", 0.0)):
        responses = [Encoded([0], [words[word] for word in row[side].split()]) for row in rows]
        assert judge.scores(examples, responses, Meter()) == [expected] * len(rows)
    shifted = judge.scores([*examples[1:], examples[0]], responses, Meter())
    assert shifted == [0.0] * len(rows)  # an answer to another prompt is no refusal of this one


def test_training_with_a_named_judge_needs_no_reward(model, tokenizer, tmp_path):
    assert not NAMED.needs_reward
    data = texts(dataset(model, tokenizer))
    made = trainer(model, tokenizer, None, tmp_path, NAMED, train_dataset=data, judge=PHRASES)
    made.train()
    logged = [entry for entry in made.state.log_history if "loss" in entry]
    assert len(logged) == 3
    assert logged[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    with pytest.raises(UserError, match=r"kind, options and artefact of the judge 'phrases'"):
        trainer(model, tokenizer, None, tmp_path, NAMED, train_dataset=data)
    with pytest.raises(UserError, match="judged_prompt"):
        trainer(model, tokenizer, None, tmp_path, NAMED, judge=PHRASES)


def test_confidence_may_still_read_a_reward(model, tokenizer, reward, tmp_path):
    method = Method(online=NAMED.online, confidence=Confidence(kind="label", calibrate_every=0))
    assert method.needs_reward
    made = trainer(
        model, tokenizer, reward, tmp_path, method, train_dataset=texts(dataset(model, tokenizer)), judge=PHRASES
    )
    made.train()
    assert isinstance(made._online.judge, TextJudge)
    assert any("confidence" in entry for entry in made.state.log_history)


def test_a_run_of_the_workflow_opens_its_judge(model, tokenizer, tmp_path):
    """As a training job does it: everything from plain values, texts joined by pair."""
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    given = dataset(model, tokenizer)
    ids = [f"pair{number}" for number in range(len(PAIRS))]
    reference = pd.DataFrame({name: given[name][:] for name in given.column_names if "reward" not in name}).assign(
        pair_id=ids
    )
    texts = pd.DataFrame({"pair_id": ids[::-1], "prompt": [pair[0] for pair in PAIRS[::-1]], "meta": "{}"})
    mix = pd.DataFrame({"pair_id": ids, "risk": ["EHD", "IHD", "general"]})
    data = training_set(mix, reference.drop(columns=["pair_index", "in_scope"]), None, None, texts=texts)
    assert data[PROMPT] == [pair[0] for pair in PAIRS]
    assert data["in_scope"] == [True, True, False]
    run = TrainingRun(
        folder=str(tmp_path / "run"), provenance="p", model={"source": str(tmp_path / "model"), "dtype": "float32"},
        method=asdict(NAMED), training=world.TRAINING | {"steps": 6, "accumulation": 1, "batch_size": 3, "snapshots": []}, seed=1, judge=PHRASES,
    )  # fmt: skip
    log = train_run(run, lambda: data).set_index(["step", "name"])["value"]
    assert log.xs("online/pairs", level="name").max() > 0
    assert (tmp_path / "run" / "policy" / "step6").is_dir()
