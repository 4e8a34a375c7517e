"""Answers in shards: the same whatever their number, few models per shard, and verdicts in one order."""

import pandas as pd
import pytest

from tests.unit import tiny
from trulysafe.common.ids import prompt_id
from trulysafe.common.schema import SCHEMAS, read_table, write_table
from trulysafe.evaluate import answers as answering
from trulysafe.evaluate.answers import answers, pieces, stretch
from trulysafe.evaluate.shards import gathered
from trulysafe.judges.registry import judged

JUDGES = ("refusal_phrases", "keywords")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two policies at two snapshots each, two benchmarks, and the split."""
    folder = tmp_path_factory.mktemp("answering")
    texts = [" ".join(tiny.WORDS[index : index + 1 + index % 5]) for index in range(24)]
    prompts = pd.DataFrame({"prompt_id": [prompt_id(text) for text in texts], "prompt": texts})
    for name, part in (("harm", prompts[:14]), ("plain", prompts[14:])):
        risk = "EHD" if name == "harm" else "general"
        write_table(part.assign(risk=risk, meta='{"answer": "w3"}'), folder / f"{name}.parquet", "prompts")
    roles = prompts[["prompt_id"]].assign(group_id=prompts["prompt_id"], role="evaluation")
    write_table(roles, folder / "split.parquet", "split")
    policies = []
    for seed in (0, 1):
        tiny.model("llama", seed).save_pretrained(folder / f"policy{seed}")
        tiny.tokenizer().save_pretrained(folder / f"policy{seed}")
        for step in (4, 8):
            spec = {"source": str(folder / f"policy{seed}")}
            policies.append({"experiment": "arm", "seed": seed, "step": step, "last": step == 8, "model": spec})
    shared = {"risks": [], "rows": None, "frontier_rows": 6}
    benchmarks = {
        "harm": {**shared, "datasets": [folder / "harm.parquet"], "max_new_tokens": 4},
        "plain": {**shared, "datasets": [folder / "plain.parquet"], "max_new_tokens": 6},
    }
    return folder, policies, pieces(policies, benchmarks, folder / "split.parquet", 4)


@pytest.fixture(scope="module")
def one(world) -> pd.DataFrame:
    _, policies, work = world
    return pd.concat(answers(policies, work), ignore_index=True)


@pytest.mark.parametrize("count", [3, 50])
def test_another_number_of_shards_gives_the_same_answers(world, one, count):
    _, policies, work = world
    shards = [pd.concat(answers(policies, stretch(work, index, count))) for index in range(count)]
    together = pd.concat([shard for shard in shards if len(shard)], ignore_index=True)
    pd.testing.assert_frame_equal(together, one)
    assert len(one) == 2 * (6 + 14) + 2 * (6 + 10)


def test_shards_cost_alike_and_load_each_of_their_policies_once(world, monkeypatch):
    _, policies, work = world
    loaded = []
    monkeypatch.setattr(answering, "load_model", lambda spec: loaded.append(spec) or tiny.model("llama"))
    shards = [stretch(work, index, 4) for index in range(4)]
    for shard in shards:
        loaded.clear()
        list(answers(policies, shard))
        assert len(loaded) == len({piece.policy for piece in shard}) <= 2
    costs = [sum(piece.cost for piece in shard) for shard in shards]
    assert max(costs) - min(costs) <= max(piece.cost for piece in work)


def test_verdicts_of_shards_stand_as_those_of_one_shard(world, one, tmp_path):
    def judge(rows: pd.DataFrame, path) -> None:
        path.parent.mkdir(exist_ok=True)
        tables = [rows.join(judged(rows, name, {})).assign(judge=name) for name in JUDGES]
        write_table(pd.concat(tables, ignore_index=True), path, "verdicts")

    cut = len(one) // 3
    judge(one, tmp_path / "batch" / "0-of-1.parquet")
    parts = [tmp_path / "cut" / f"{index}-of-3.parquet" for index in range(3)]
    judge(one[:cut], parts[0])
    judge(one[cut:], parts[1])
    write_table(pd.DataFrame(columns=list(SCHEMAS["verdicts"])), parts[2], "verdicts")
    whole = read_table(tmp_path / "batch" / "0-of-1.parquet", "verdicts")
    pd.testing.assert_frame_equal(gathered(parts, JUDGES).reset_index(drop=True), whole)
