"""Documents of benchmark tasks, each read by its task of lm-evaluation-harness, and the examples shown before them.

Documents come from data sets of kind ``documents``, and nothing from the network; the task's template, options,
right answer and layout of examples are the harness's own.
"""

import inspect
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.common.ids import content_id
from trulysafe.data.roles import rows_of_role
from trulysafe.evaluate.tasks import check_task, over_included, task_file, task_name

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

Document = dict[str, Any]


class Item(NamedTuple):
    """A document as its task reads it, and where it stands in its data set."""

    task: "ConfigurableTask"
    document: Document
    place: str
    chat: bool

    @property
    def written(self) -> bool:
        """Whether an answer is written, and not an option chosen."""
        return bool(self.task.OUTPUT_TYPE == "generate_until")


def items_of(name: str, benchmark: Mapping[str, Any], split: Path | str, prompts: pd.DataFrame) -> dict[str, Item]:
    """The documents of a benchmark's prompts by prompt. ``benchmark`` is a stanza with ``task``, ``datasets`` and
    ``shots_from`` resolved to table paths. UserError: a document that its task cannot read, too few examples."""
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


def right_answer(task: "ConfigurableTask", document: Document) -> str:
    """What an option or an answer is held against; of several the first."""
    gold = task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document)
    first = gold[0] if isinstance(gold, list) else gold
    return str(task.doc_to_choice(document)[first] if task.config.doc_to_choice and isinstance(first, int) else first)


def described(tasks: Iterable["ConfigurableTask"]) -> dict[str, dict[str, Any]]:
    """Of each task, by name, its version and the hash of its configuration, functions by their code."""

    def code(value: Any) -> str:
        with suppress(OSError, TypeError):
            return inspect.getsource(value)
        return getattr(value, "__qualname__", type(value).__qualname__)

    found = {}
    for name, task in {task.task_name: task for task in tasks}.items():
        config = {key: value for key, value in task.config.to_dict().items() if key != "custom_dataset"}
        found[name] = {
            "version": task.VERSION,
            "configuration": content_id(json.dumps(config, sort_keys=True, default=code)),
        }
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
            _check_right_answer(task, document)
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
        _check_right_answer(task, task.task_docs[0])


@contextmanager
def _named(name: str, place: str, document: Document) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # templates and functions of tasks raise what they will
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        found = f"the task {name!r} cannot read this document ({said}). Columns found: {', '.join(document)}"
        do = "Give the columns of the data set that the task names on the hub, or leave the row out."
        raise UserError(f"{place}: {found}. {do}") from error


def _check_right_answer(task: "ConfigurableTask", document: Document) -> None:
    """There must be a right answer, or none would ever be right; of options, none of which may be empty, it is one."""
    if task.OUTPUT_TYPE == "generate_until":
        answers = task.doc_to_target(document)
        if not [answer for answer in (answers if isinstance(answers, list) else [answers]) if str(answer).strip()]:
            raise UserError(f"the right answer is empty: {answers!r}")
        return
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


def _config(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A task's file with its functions, as the harness loads it."""
    from lm_eval.tasks._yaml_loader import load_yaml

    return over_included(path, load_yaml(path, recursive=False), _config, above)
