"""Tasks of lm-evaluation-harness: which can be chosen from, and mistakes in one of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit import task_world
from trulysafe.common.errors import UserError
from trulysafe.evaluate.tasks import check_task, task_config, task_file


@pytest.mark.parametrize(
    ("task", "metric", "said"),
    [
        ("arc_esy", "acc", r"'arc_esy' is no task of lm-evaluation-harness [\d.]+ Did you mean arc_easy"),
        ("mmlu", "acc", r"group of tasks: .* mmlu_{subject}\."),
        ("mmlu_{subjekt}_none", "acc", "is the name of no task"),
        ("gsm8k", "acc", "'gsm8k' is generate_until. Accepted: tasks of output_type multiple_choice, .* `judges`"),
        ("wikitext", "acc", "is loglikelihood_rolling"),
        ("squadv2", "acc", "given as a Python class"),
        ("winogrande", "acc_norm", "does not report acc_norm. Accepted: acc."),
    ],
)
def test_tasks_that_cannot_be_chosen_from(task: str, metric: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_task(task, metric)


@pytest.mark.parametrize("task", ["arc_challenge", "mmlu_{subject}", "ceval-valid_{subject}", "race", "openbookqa"])
def test_tasks_that_can(task: str) -> None:
    check_task(task, "acc")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("include: arc_esy\n", r"own.yaml, include: 'arc_esy' is no task of .* Did you mean arc_easy"),
        ("include: other.yaml\n", r"own.yaml, include: other.yaml does not exist"),
        ("include: gsm8k\n", r"own.yaml' is generate_until"),
        ("a: [", r"own.yaml: not valid YAML"),
        ("- arc_easy", r"own.yaml: a mapping of keys is needed, found list"),
        (None, r"own.yaml does not exist. Give the path"),
    ],
)
def test_mistakes_in_a_task_of_ones_own(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        check_task(str(tmp_path / "own.yaml"))


def test_files_of_tasks_are_those_of_the_harness() -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    for task in (*task_world.TASKS, "mmlu_anatomy", "ceval-valid_law"):
        config = load_yaml(task_file(task), resolve_func=False)
        assert (config["task"], config["output_type"]) == (task, "multiple_choice")
        assert task_config(task_file(task)).keys() == config.keys()
