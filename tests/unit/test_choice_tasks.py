"""Tasks of lm-evaluation-harness: which can be evaluated, their filters, and mistakes in one of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit import task_world
from trulysafe.common.errors import UserError
from trulysafe.evaluate.tasks import check_task, examples, task_config, task_file, token_limit


@pytest.mark.parametrize(
    ("task", "metric", "said"),
    [
        ("arc_esy", "acc", r"'arc_esy' is no task of lm-evaluation-harness [\d.]+ Did you mean arc_easy"),
        ("mmlu", "acc", r"group of tasks: .* mmlu_{subject}\."),
        ("mmlu_{subjekt}_none", "acc", "is the name of no task"),
        ("gsm8k", "acc", r"'gsm8k' does not report acc\. Accepted: exact_match\."),
        ("arc_easy", "exact_match", r"'arc_easy' does not report exact_match\. Accepted: acc, acc_norm\."),
        ("wikitext", "acc", "is loglikelihood_rolling. Accepted: output_type multiple_choice, .* `judges`"),
        ("gsm8k_cot_self_consistency", "exact_match", "samples its answers, .*do_sample: false"),
        ("truthfulqa_gen", "exact_match", "does not report exact_match. Accepted: .nothing"),
        ("squadv2", "acc", "given as a Python class"),
        ("winogrande", "acc_norm", "does not report acc_norm. Accepted: acc."),
    ],
)
def test_tasks_that_cannot_be_evaluated(task: str, metric: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_task(task, metric)


@pytest.mark.parametrize("task", ["arc_challenge", "mmlu_{subject}", "ceval-valid_{subject}", "race", "openbookqa"])
def test_tasks_that_can(task: str) -> None:
    check_task(task, "acc")


@pytest.mark.parametrize(
    ("task", "given", "said"),
    [
        ("gsm8k", None, "takes the answer .*name one as `filter`. Accepted: strict-match, flexible-extract."),
        ("gsm8k", "strict", "no filter 'strict'.* Did you mean 'strict-match'. Accepted: strict-match, flexible-"),
        ("bbh_cot_fewshot_{task}", "flexible-extract", "has no filter 'flexible-extract'.* Accepted: get-answer."),
        ("bbh_fewshot_{task}", "get-answer", "has no filters. Leave `filter` out."),
    ],
)
def test_filters_that_a_task_has_not(task: str, given: str | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_task(task, "exact_match", given)


@pytest.mark.parametrize(
    ("task", "given"),
    [("gsm8k", "strict-match"), ("bbh_cot_zeroshot_{task}", "flexible-extract"), ("bbh_fewshot_snarks", None)],
)
def test_tasks_that_write(task: str, given: str | None) -> None:
    check_task(task, "exact_match", given)


def test_no_filter_stands_before_a_choice() -> None:
    with pytest.raises(UserError, match="'arc_easy' has no filters"):
        check_task("arc_easy", "acc", "strict-match")


def test_examples_are_those_given_or_the_tasks_own() -> None:
    assert [examples("gsm8k", given) for given in (None, 0, 2)] == [5, 0, 2]
    assert [examples(task, None) for task in ("arc_easy", "bbh_cot_fewshot_{task}")] == [0, 3]


def test_token_limits_are_those_of_the_harness(tmp_path: Path) -> None:
    assert [token_limit(task) for task in ("arc_easy", "gsm8k", "bbh_cot_fewshot_{task}")] == [None, 256, 1024]
    own = tmp_path / "own.yaml"
    own.write_text("include: gsm8k\ngeneration_kwargs: {max_new_tokens: 9, max_tokens: 8}\n", encoding="utf-8")
    assert token_limit(str(own)) == 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("include: arc_esy\n", r"own.yaml, include: 'arc_esy' is no task of .* Did you mean arc_easy"),
        ("include: other.yaml\n", r"own.yaml, include: other.yaml does not exist"),
        ("include: wikitext\n", r"own.yaml' is loglikelihood_rolling"),
        ("a: [", r"own.yaml: not valid YAML"),
        ("- arc_easy", r"own.yaml: a mapping of keys is needed, found list"),
        (None, r"own.yaml does not exist. Give the path"),
        ("metric_list: [acc]\n", r"own.yaml: metric_list.0: 'acc' is not accepted. Accepted: a mapping"),
        ("metric_list: [{aggregation: mean}]\n", r"own.yaml: metric_list.0.metric: missing"),
        ("filter_list: strict\n", r"own.yaml: filter_list: 'strict' is not accepted. Accepted: a list"),
        ("generation_kwargs: {max_gen_toks: lots}\n", r"generation_kwargs.max_gen_toks: 'lots' .* a whole number"),
        ("generation_kwargs: [greedy]\n", r"own.yaml: generation_kwargs: .* Accepted: a mapping"),
        ("num_fewshot: many\nrepeats: '2'\n", r"num_fewshot: 'many' .* repeats: '2' .* Mend the task's file"),
        ("include: 3\n", r"own.yaml: include: 3 is not accepted. Accepted: a file or task by name"),
        ("include: own.yaml\n", r"own.yaml, include: .*own.yaml includes itself"),
        ("include: [arc_easy, ./other/../own.yaml]\n", r"own.yaml, include: .* includes itself"),
    ],
)
def test_mistakes_in_a_task_of_ones_own(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
        (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match=said):
        check_task(str(tmp_path / "own.yaml"))


def test_files_of_tasks_are_those_of_the_harness() -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    for task in (*task_world.TASKS, "mmlu_anatomy", "ceval-valid_law"):
        config = load_yaml(task_file(task), resolve_func=False)
        assert (config["task"], config["output_type"]) == (task, "multiple_choice")
        assert task_config(task_file(task)).keys() == config.keys()
