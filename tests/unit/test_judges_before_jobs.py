"""What is known of judges before any job: whom they are held against, their wording, what they can class."""

import pytest

from tests.unit.test_consistency import SMALL, check
from trulysafe.common.errors import UserError


def test_people_need_a_judge_beside_them():
    labels = {"kind": "demo", "role": "judge", "options": {"part": "corpus", "world": 0, "rows": 20}}
    people = {"datasets__labels": labels, "report": {"people": {"datasets": ["labels"]}}}
    check(**people)
    with pytest.raises(UserError, match=r"report\.people: no judge says whether .* axis safety or over_refusal"):
        check(benchmarks={"general": SMALL["benchmarks"]["general"]}, **people)


@pytest.mark.parametrize("kind", ["harmbench_cls", "md_judge", "polyguard", "strongreject", "wildguard"])
def test_a_judges_wording_is_looked_for_before_any_job(tmp_path, kind):
    wording = tmp_path / "wording.txt"
    judge = {"kind": kind, "model": "tiny", "options": {"wording": str(wording)}}
    with pytest.raises(UserError, match=r"judges\.guard: judge of kind .*wording\.txt cannot be read"):
        check(judges__guard=judge)
    wording.write_text("Is it safe?", encoding="utf-8")
    with pytest.raises(UserError, match=r"judges\.guard: .*does not hold the wording that the authors use"):
        check(judges__guard=judge)


def test_the_oracle_is_asked_about_the_demo_world_alone(tmp_path):
    (tmp_path / "own.jsonl").write_text('{"prompt": "a", "response": "b", "label": "safe"}\n', encoding="utf-8")
    options = {"path": str(tmp_path / "own.jsonl"), "columns": {"response": "response", "label": "label"}}
    own = {"kind": "jsonl", "role": "evaluation", "options": {"path": options["path"]}}
    prompts = {"datasets__own": own, "benchmarks__harmful__datasets": ["test", "own"]}
    with pytest.raises(UserError, match=r"benchmarks\.harmful: the judge 'oracle', .* cannot class 'own'.* kind demo"):
        check(**prompts)
    check(**prompts, benchmarks__harmful__judges=["refusal_phrases"])
    people = {"datasets__own": own | {"role": "judge", "options": options}, "report": {"people": {"datasets": ["own"]}}}
    with pytest.raises(UserError, match=r"report\.people: the judge 'oracle'"):
        check(**people)
    del options["columns"]["label"]
    with pytest.raises(UserError, match=r"report\.people\.datasets: own has no labels\. .*columns: \{label"):
        check(**people)
