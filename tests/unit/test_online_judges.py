"""Online DPO with a judge of texts in place of the reward, from the table of the workflow's judges."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.unit import training_world as world
from tests.unit.online_world import PAIRS, dataset, judging_reward, policy, trainer
from trulysafe.common.errors import UserError
from trulysafe.common.schema import RISKS
from trulysafe.data.demo.oracle import classify
from trulysafe.data.demo.tables import table
from trulysafe.methods.method import Method, Online
from trulysafe.methods.parts import Confidence
from trulysafe.models.tokens import Encoded
from trulysafe.train.jobs import train_run
from trulysafe.train.run import TrainingRun
from trulysafe.train.run_data import META, PROMPT, TextJudge, training_set
from trulysafe.trainers.online_pairs import OnlinePairs
from trulysafe.trainers.step_log import Meter

NAMED = Method(online=Online(samples=6, max_new_tokens=40, judge="phrases"))
PHRASES = {"kind": "refusal_phrases", "options": {"phrases": [r"^w[12]\d\b"]}, "artefact": None}
"""A judge of the workflow's table; in this vocabulary a response refuses that begins with one of w10 to w29."""


@pytest.fixture
def model():
    return policy()


@pytest.fixture
def reward():
    return judging_reward()


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
        rows, dropped = online.fresh(model, examples)
        assert rows[-1] == examples[-1]
        for row in rows[:-1]:
            begin = [tokenizer.decode(row[f"{side}_ids"]).split()[0] for side in ("chosen", "rejected")]
            safe, unsafe = (word in [f"w{number}" for number in range(10, 30)] for word in begin)
            assert (safe, unsafe) == (True, False)
        made += len(rows) - 1
        tied += dropped["gap"]
    assert made > 0
    assert tied > 0
    assert online.meter.tokens["judging"] == 0
    assert online.meter.seconds["judging"] > 0


def test_the_oracle_reads_the_facts_of_the_row_that_a_response_is_to():
    pairs = table("preferences", world=0, rows=100)
    kinds = [
        [classify(json.loads(row["meta"]), row[side])[0] for side in ("chosen", "rejected")]
        for _, row in pairs.iterrows()
    ]
    pairs = pairs[[kind == ["refuses", "complies"] for kind in kinds]]
    assert len(pairs) >= 12
    every = [*pairs["chosen"], *pairs["rejected"]]
    words = {word: number for number, word in enumerate(sorted({word for text in every for word in text.split()}))}
    core = Tokenizer(models.WordLevel({**words, "<unk>": len(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    judge = TextJudge({"kind": "oracle", "options": {}}, PreTrainedTokenizerFast(tokenizer_object=core))
    rows = pairs.to_dict("records")
    examples = [{PROMPT: row["prompt"], META: row["meta"], "risk": RISKS.index(row["risk"])} for row in rows]
    for side, expected in (("chosen", 1.0), ("rejected", 0.0)):
        responses = [Encoded([0], [words[word] for word in row[side].split()]) for row in rows]
        assert judge(examples, responses) == [expected] * len(rows)
    shifted = judge([*examples[1:], examples[0]], responses)
    assert shifted == [0.0] * len(rows)  # an answer to another prompt is no refusal of this one


def test_training_with_a_named_judge_needs_no_reward(model, tokenizer, tmp_path):
    assert not NAMED.needs_reward
    data = texts(dataset(model, tokenizer))
    made = trainer(model, tokenizer, None, tmp_path, NAMED, train_dataset=data, judge=TextJudge(PHRASES, tokenizer))
    made.train()
    logged = [entry for entry in made.state.log_history if "loss" in entry]
    assert len(logged) == 3
    assert logged[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    with pytest.raises(UserError, match=r"judge \(a function that scores responses, for the judge 'phrases'\)"):
        trainer(model, tokenizer, None, tmp_path, NAMED, train_dataset=data)
    with pytest.raises(UserError, match="judged_prompt"):
        trainer(model, tokenizer, None, tmp_path, NAMED, judge=TextJudge(PHRASES, tokenizer))


def test_any_function_may_judge(model, tokenizer, tmp_path):
    """Here the longer response is the better one."""
    seen = []

    def longest(examples, responses):
        seen.extend(zip(examples, responses, strict=True))
        return [float(len(item.response_ids)) for item in responses]

    made = trainer(model, tokenizer, None, tmp_path, NAMED, judge=longest)
    made.train()
    assert seen
    assert all(example["prompt_ids"] == item.prompt_ids for example, item in seen)
    torch.manual_seed(0)
    rows, _ = made._online.fresh(made.model, list(dataset(model, tokenizer)))
    assert len(rows) > 1
    assert all(len(row["chosen_ids"]) > len(row["rejected_ids"]) for row in rows[:-1])


def test_confidence_may_still_read_a_reward(model, tokenizer, reward, tmp_path):
    method = Method(online=NAMED.online, confidence=Confidence(kind="label", calibrate_every=0))
    assert method.needs_reward
    judge = TextJudge(PHRASES, tokenizer)
    made = trainer(
        model, tokenizer, reward, tmp_path, method, train_dataset=texts(dataset(model, tokenizer)), judge=judge
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
        method=NAMED.model_dump(),
        training=world.TRAINING | {"steps": 6, "accumulation": 1, "batch_size": 3, "snapshots": []}, seed=1,
        judge=PHRASES,
    )  # fmt: skip
    log = train_run(run, lambda: data).set_index(["step", "name"])["value"]
    assert log.xs("online/pairs", level="name").max() > 0
    assert (tmp_path / "run" / "policy" / "step6").is_dir()
