"""Choices of policies among the options of benchmark tasks, by log-likelihood: lm-evaluation-harness on local files.

A task's template, options, delimiter, few-shot layout and metrics are the harness's own; documents come from data sets
of kind ``documents``, and nothing from the network. Work is cut and spread as in :mod:`trulysafe.evaluate.answers`.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.common.ids import stable_seed
from trulysafe.common.schema import SCHEMAS
from trulysafe.data.roles import rows_of_role
from trulysafe.evaluate.answers import PolicyBlock
from trulysafe.evaluate.outcomes import CHOSEN, Benchmarks
from trulysafe.evaluate.tasks import METRICS, check_task, over_included, task_file, task_name
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.models.tokens import render

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM

Document = dict[str, Any]


class Item(NamedTuple):
    """A document as its task reads it, and where it stands in its data set."""

    task: "ConfigurableTask"
    document: Document
    place: str
    chat: bool


def choices(
    policies: Sequence[Mapping], work: Sequence[PolicyBlock], benchmarks: Benchmarks, split: Path | str, batch_size: int
) -> Iterator[pd.DataFrame]:
    """Let policies, as the blocks number them, choose, each loaded once.

    Benchmarks are stanzas with ``task``, ``datasets`` and ``shots_from`` resolved to table paths; ``batch_size`` is in
    sequences per forward pass, and a block is never mixed with another. Yields tables of schema ``verdicts``, one per
    block, or a single empty one; their judges are the metrics of :data:`~trulysafe.evaluate.tasks.METRICS` that the
    task reports. UserError: a document that its task cannot read, too few examples, a text beyond the model's context.
    """
    if not work:
        yield pd.DataFrame(columns=list(SCHEMAS["verdicts"]))
        return
    prompts = pd.concat([block.prompts.assign(benchmark=block.benchmark) for block in work])
    of_benchmark = prompts.drop_duplicates(["benchmark", "prompt_id"]).groupby("benchmark")
    items = {name: _items(str(name), benchmarks[str(name)], split, found) for name, found in of_benchmark}
    from lm_eval.models.huggingface import HFLM  # later than its tasks, which make it silent

    for number, of_policy in groupby(work, key=lambda block: block.policy):
        spec = policies[number]["model"]
        lm = HFLM(pretrained=load_model(spec), tokenizer=load_tokenizer(spec), batch_size=batch_size)
        place = {key: policies[number][key] for key in ("experiment", "seed", "step")}
        for block in of_policy:
            rows = _verdicts(lm, block.prompts, items[block.benchmark]).assign(benchmark=block.benchmark, **place)
            yield rows.assign(verdict=CHOSEN, cut_off=False)[list(SCHEMAS["verdicts"])]


def _verdicts(lm: "HFLM", prompts: pd.DataFrame, items: Mapping[str, Item]) -> pd.DataFrame:
    """What a model chooses for one block of prompts: a row for every prompt and metric."""
    asked = {prompt: _requests(lm, prompt, items[prompt]) for prompt in prompts["prompt_id"]}
    together = [request for requests in asked.values() for request in requests]
    results = iter(lm.loglikelihood(together, disable_tqdm=True))
    rows = []
    for row in prompts[["prompt_id", "risk", "family"]].to_dict("records"):
        item, found = items[row["prompt_id"]], [next(results) for _ in asked[row["prompt_id"]]]
        scores = item.task.process_results(item.document, found)
        real = all(math.isfinite(logp) for logp, _ in found)  # the largest of no numbers is no choice
        rows += [{**row, "judge": name, "correct": real and scores[name] > 0} for name in METRICS if name in scores]
    return pd.DataFrame(rows)


def _requests(lm: "HFLM", prompt: str, item: Item) -> list[Any]:
    """What the harness asks of the model for one document: the log-likelihood of each option (UserError: context and
    option are longer than the model can read, which the harness would cut)."""

    def template(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        after = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
        return render(lm.tokenizer, messages, **after)

    task, document = item.task, item.document
    chat: dict[str, Any] = {"apply_chat_template": item.chat, "chat_template": template if item.chat else None}
    task.set_fewshot_seed(stable_seed("shots", prompt))  # whatever else is asked beside it
    examples, prefix = task.config.num_fewshot or 0, task.doc_to_prefix(document)
    context = task.fewshot_context(document, examples, fewshot_as_multiturn=item.chat, gen_prefix=prefix, **chat)
    requests: list[Any] = task.construct_requests(document, context, metadata=(task.task_name, 0, 1), **chat)
    longest = max(len(lm.tok_encode("".join(request.args))) for request in requests)
    if longest > lm.max_length + 1:  # the last token is never read
        needs = f"with {examples} examples the task {task.task_name!r} needs {longest} tokens"
        do = "Give the benchmark fewer `shots`, or leave the row out (`max_characters` of the dataset)."
        raise UserError(f"{item.place}: {needs}, and the model reads {lm.max_length}. {do}")
    return requests


def _items(name: str, benchmark: Mapping[str, Any], split: Path | str, prompts: pd.DataFrame) -> dict[str, Item]:
    rows = _documents(benchmark["task"], prompts)
    shots = pd.DataFrame(columns=rows.columns)
    if benchmark["shots_from"]:
        examples = rows_of_role(benchmark["shots_from"], "prompts", split, "evaluation").drop_duplicates("prompt_id")
        shots = _documents(benchmark["task"], examples)
    found = {}
    for task, of_task in rows.groupby("task"):
        own, where = shots[shots["task"] == task], f"benchmarks.{name}"
        read = _read(str(task), of_task, own["document"].tolist(), benchmark["shots"], where)
        for prompt, place, document in zip(of_task["prompt_id"], of_task["place"], read.task_docs, strict=True):
            found[prompt] = Item(read, document, place, benchmark["chat_template"])
    return found


def _documents(pattern: str, prompts: pd.DataFrame) -> pd.DataFrame:
    """Columns prompt_id, document, place (file and row) and task of every prompt."""
    meta = [json.loads(text) for text in prompts["meta"]]
    rows = []
    for prompt, facts in zip(prompts["prompt_id"], meta, strict=True):
        try:
            task = task_name(pattern, facts["document"])
        except UserError as error:
            raise UserError(f"{facts['place']}: {error}") from None
        rows.append((prompt, facts["document"], facts["place"], task))
    return pd.DataFrame(rows, columns=["prompt_id", "document", "place", "task"])


def _read(name: str, rows: pd.DataFrame, shots: list[Document], count: int | None, where: str) -> "ConfigurableTask":
    """A task on all its documents, each of which it can read. A column that lacks in some rows would be filled with
    nulls, so one document of every set of columns is read alone. UserError: a document that it cannot read, or fewer
    examples than it is to show."""
    documents = list(zip(rows["place"], rows["document"], strict=True))
    for place, document in {frozenset(document): (place, document) for place, document in reversed(documents)}.values():
        _alone(name, place, document)
    columns = sorted({column for _, document in documents for column in document})
    filled = [{column: document.get(column) for column in columns} for _, document in documents]
    try:
        task = _task(name, filled, shots, count)
    except Exception as error:  # whatever a task's own functions raise: at which document?
        for place, document in documents:
            _alone(name, place, document)
        found = f"{name!r} reads each document, but not all together ({type(error).__name__}: {error})"
        do = "Give each column values of one kind in every row."
        raise UserError(f"{where}.datasets: {found}. {do}") from error
    if len(task.task_docs) != len(documents):
        found = f"{name!r} makes {len(task.task_docs)} documents of {len(documents)}, so they cannot be told apart"
        raise UserError(f"{where}.task: {found}. Name a task that keeps its documents one for one.")
    for (place, _), document in zip(documents, task.task_docs, strict=True):
        with _named(name, place, document):
            _check_options(task, document)
    wanted, there = task.config.num_fewshot or 0, len(shots) or len(task.fewshot_cfg.samples or [])
    if wanted > there:
        do = "Give `shots_from` a dataset of kind documents with as many (of each task), or ask for fewer `shots`."
        raise UserError(f"{where}.shots: {name!r} is to be shown {wanted} examples, and there are {there}. {do}")
    return task


def _alone(name: str, place: str, document: Document) -> None:
    """Raise :class:`UserError`, which names the place, where a task cannot read a document by itself."""
    with _named(name, place, document):
        check_task(name)
        task = _task(name, [document], [], 0)
        _check_options(task, task.task_docs[0])


@contextmanager
def _named(name: str, place: str, document: Document) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # templates and functions of tasks raise what they will
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        found = f"the task {name!r} cannot read this document ({said}). Columns found: {', '.join(document)}"
        do = "Give the columns of the data set that the task names on the hub, or leave the row out."
        raise UserError(f"{place}: {found}. {do}") from error


def _check_options(task: "ConfigurableTask", document: Document) -> None:
    """The right option must be among the options, or no choice would ever be right, and no option may be empty."""
    options = task.doc_to_choice(document)
    gold = task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document)
    for right in gold if isinstance(gold, list) else [gold]:
        if right not in (range(len(options)) if isinstance(right, int) else options):
            raise UserError(f"the right option is {right!r}, and the options are {options}")
    if not all(option.strip() for option in options):
        raise UserError(f"an option is empty: {options}")


def _task(name: str, documents: list[Document], shots: list[Document], count: int | None) -> "ConfigurableTask":
    """The harness's task, with documents and examples of ours in place of its splits."""
    from datasets import Dataset
    from datasets.utils import disable_progress_bars
    from lm_eval.api.task import ConfigurableTask

    disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of what is done here on purpose
    config = {"task": name, **_config(task_file(name))}
    tables = {"documents": Dataset.from_list(documents)} | ({"shots": Dataset.from_list(shots)} if shots else {})
    splits = {"training_split": None, "validation_split": None, "test_split": "documents"}
    few = {key: value for key, value in (config.get("fewshot_config") or {}).items() if key != "split"}
    shown = {"fewshot_split": "shots" if shots else None, "fewshot_config": few or None}
    for key in ("tag", "group", "task_list"):
        config.pop(key, None)
    given = {} if count is None else {"num_fewshot": count}
    return ConfigurableTask(config=config | splits | shown | given | {"custom_dataset": lambda **_: tables})


def _config(path: Path) -> dict[str, Any]:
    """A task's file with its functions, as the harness loads it."""
    from lm_eval.tasks._yaml_loader import load_yaml

    return over_included(path, load_yaml(path, recursive=False), _config)
