"""Tasks of lm-evaluation-harness by name: where they lie and what they are, without loading it, which takes seconds."""

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from trulysafe.common.errors import UserError, choices

METRICS = ("acc", "acc_norm")
"""What is counted of a choice: the likeliest option, and the likeliest per character; judges of these names."""
_NAME = re.compile(rb"""^["']?(task|group)["']?:[ \t]*["']?([^\s"'#\[]+)""", re.MULTILINE)


def task_name(pattern: str, document: dict[str, Any]) -> str:
    """Name of a document's task: columns in braces stand for their values, as in ``mmlu_{subject}`` (UserError: the
    document has no such column)."""
    try:
        return pattern.format_map(document)
    except KeyError as error:
        columns = ", ".join(document)
        raise UserError(f"no column {error}, which the task {pattern!r} names. Columns: {columns}.") from None


def task_file(name: str) -> Path:
    """Where a task is described: by its name, or in a file of one's own, whose name ends in ``.yaml``. UserError: there
    is no such task, with the names that are spelt much like it, or no such file."""
    if name.endswith(".yaml"):
        if not Path(name).is_file():
            raise UserError(f"{name} does not exist. Give the path of a task's file, or the name of a task.")
        return Path(name)
    names = _files()
    if name in names["task"]:
        return names["task"][name]
    version, do = metadata.version("lm_eval"), "`lm-eval ls subtasks` lists all."
    if name in names["group"]:
        do = f"It is a group of tasks: name one of them, or all by a column of their documents, as {name}_{{subject}}."
    begun = sorted((known for known in names["task"] if known.startswith(name)), key=lambda known: (len(known), known))
    near = begun[:5] or get_close_matches(name, names["task"], n=5)
    meant = f" Did you mean {', '.join(near)}?" if near else ""
    raise UserError(f"{name!r} is no task of lm-evaluation-harness {version}.{meant} {do}")


def check_task(pattern: str, metric: str | None = None) -> None:
    """Raise :class:`UserError` where a task is unknown, is no choice among options, or does not report the metric; of
    a name with columns in braces, where that holds of all tasks that could be meant."""
    form = re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(pattern)))
    problem = None
    for name in filter(form.fullmatch, _files()["task"]) if "{" in pattern else [pattern]:
        found = _problem(name, task_config(task_file(name)), metric)
        if found is None:
            return
        problem = problem or found
    raise UserError(problem) if problem else UserError(f"{pattern!r} is the name of no task of lm-evaluation-harness.")


def _problem(name: str, config: dict[str, Any], metric: str | None) -> str | None:
    if config.get("output_type") != "multiple_choice":
        found = config.get("output_type", "generate_until") if "class" not in config else "given as a Python class"
        takes = "tasks of output_type multiple_choice, whose options are compared by their likelihood"
        do = "For answers that are written out give `judges` in place of `task`."
        return f"the task {name!r} is {found}. Accepted: {takes}. {do}"
    reported = [item["metric"] for item in config.get("metric_list") or [{"metric": known} for known in METRICS]]
    accepted = [known for known in METRICS if known in reported]
    if not accepted or metric not in (*accepted, None):
        return f"the task {name!r} does not report {metric or ' or '.join(METRICS)}.{choices(metric, accepted)}"
    return None


def task_config(path: Path) -> dict[str, Any]:
    """What a task's file says, over what it includes; functions are left as their names."""

    class Loader(yaml.SafeLoader):
        """Reads what the harness reads."""

    Loader.add_constructor("!function", lambda loader, node: node.value)
    try:
        given = yaml.load(path.read_bytes(), Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({error}).") from None
    if not isinstance(given, dict):
        raise UserError(f"{path}: a mapping of keys is needed, found {type(given).__name__}.")
    return over_included(path, given, task_config)


def over_included(path: Path, given: dict[str, Any], read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What a task's file says over what it includes: files beside it as in the harness, or tasks by their names.
    ``given`` is what stands in the file ``path``, ``read`` reads one that it includes (UserError: it is not there)."""
    included, below = given.get("include", []), dict[str, Any]()
    for name in [included] if isinstance(included, str) else included:
        try:
            below |= read(beside if (beside := path.parent / name).is_file() else task_file(name))
        except UserError as error:
            raise UserError(f"{path}, include: {error}") from None
    return {key: value for key, value in (below | given).items() if key != "include"}


@cache
def _files() -> dict[str, dict[str, Path]]:
    """Names of tasks and of groups -> their files; of two of one name the first counts, as in the harness."""
    found: dict[str, dict[str, Path]] = {"task": {}, "group": {}}
    (package,) = find_spec("lm_eval").submodule_search_locations  # type: ignore[union-attr, misc]
    for path in sorted(Path(package, "tasks").rglob("*.yaml"), key=Path.as_posix):
        for kind, name in _NAME.findall(path.read_bytes()):
            found[kind.decode()].setdefault(name.decode(), path)
    return found
