"""Tasks of lm-evaluation-harness by name: where they lie and what they are, without loading it, which takes seconds."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, StrictInt, ValidationError

from trulysafe.common.errors import UserError, choices
from trulysafe.common.option_errors import what_is_wrong

METRICS = ("acc", "acc_norm", "exact_match")
"""What is counted: of a choice the likeliest option and the likeliest per character, of a written answer whether it is
the right one."""
OF_TYPE = {"multiple_choice": METRICS[:2], "generate_until": METRICS[2:]}
"""Output types of tasks that can be evaluated, each with the metrics that the harness reports by default."""
LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names of the token limit in a task's ``generation_kwargs``; the first counts, as in the harness."""
HARNESS_LIMIT = 256
"""Token limit of a task that names none."""
_NAME = re.compile(rb"""^["']?(task|group)["']?:[ \t]*["']?([^\s"'#\[]+)""", re.MULTILINE)


class _Metric(BaseModel):
    metric: str


class _Filter(BaseModel):
    name: str


class _Limits(BaseModel):
    max_gen_toks: StrictInt | None = None
    max_new_tokens: StrictInt | None = None
    max_tokens: StrictInt | None = None
    max_completion_tokens: StrictInt | None = None


class _Keys(BaseModel):
    """The keys of a task's file that are read here; all others are the harness's affair."""

    metric_list: list[_Metric] | None = None
    filter_list: list[_Filter] | None = None
    generation_kwargs: _Limits | None = None
    num_fewshot: Annotated[int, Field(strict=True, ge=0)] | None = None
    repeats: StrictInt | None = None


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


def metric_name(metric: str, filter_name: str | None = None) -> str:
    """What the harness calls a result, and the judge of our verdicts: the metric, with its filter if it has one."""
    return f"{metric},{filter_name}" if filter_name else metric


def check_task(pattern: str, metric: str | None = None, filter_name: str | None = None) -> None:
    """Raise :class:`UserError` where a task is unknown, neither a choice among options nor an answer written greedily,
    or does not report the metric behind the filter; of a name with columns in braces, where that holds of all tasks
    that could be meant. Without a metric only the kind of task is checked."""
    problem = None
    for name in _meant(pattern):
        found = _problem(name, task_config(task_file(name)), metric, filter_name)
        if found is None:
            return
        problem = problem or found
    raise UserError(problem or f"{pattern!r} is the name of no task of lm-evaluation-harness.")


def token_limit(pattern: str) -> int | None:
    """Tokens that an answer to a task may have, of the first of the tasks that a name with columns may mean; None where
    nothing is written (UserError: as :func:`check_task`)."""
    check_task(pattern)
    config = task_config(task_file(_meant(pattern)[0]))
    if _kind(config) != "generate_until":
        return None
    given = config.get("generation_kwargs") or {}
    return int(next((given[key] for key in LIMITS if given.get(key) is not None), HARNESS_LIMIT))


def examples(pattern: str, given: int | None) -> int:
    """Examples before a document of a task: as many as given, or as the (first) task says."""
    return given if given is not None else int(task_config(task_file(_meant(pattern)[0])).get("num_fewshot") or 0)


def _meant(pattern: str) -> list[str]:
    """Names of the tasks that a name with columns in braces may mean; any other name as it is."""
    form = re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(pattern)))
    return sorted(filter(form.fullmatch, _files()["task"])) if "{" in pattern else [pattern]


def _problem(name: str, config: dict[str, Any], metric: str | None, filter_name: str | None) -> str | None:
    kind = _kind(config)
    if "class" in config or kind not in OF_TYPE:
        found = "given as a Python class" if "class" in config else kind
        takes = "output_type multiple_choice, whose options are compared by their likelihood, or generate_until"
        return f"the task {name!r} is {found}. Accepted: {takes}. For other answers give `judges` in place of `task`."
    drawn = config.get("generation_kwargs") or {}
    if kind == "generate_until" and (
        drawn.get("do_sample") or drawn.get("temperature") or (config.get("repeats") or 1) > 1
    ):
        do = "Include it in a task file of your own, with generation_kwargs: {do_sample: false} and repeats: 1."
        return f"the task {name!r} samples its answers, and here tasks are answered greedily. {do}"
    reported = [item["metric"] for item in config.get("metric_list") or [{"metric": known} for known in OF_TYPE[kind]]]
    accepted = [known for known in OF_TYPE[kind] if known in reported]
    if not accepted or metric not in (*accepted, None):
        return f"the task {name!r} does not report {metric or ' or '.join(OF_TYPE[kind])}.{choices(metric, accepted)}"
    return _filter_problem(name, config, filter_name) if metric else None


def _filter_problem(name: str, config: dict[str, Any], filter_name: str | None) -> str | None:
    written = _kind(config) == "generate_until"
    filters = [item["name"] for item in config.get("filter_list") or []] if written else []
    if filters and filter_name not in filters:
        found = f"has no filter {filter_name!r}" if filter_name else "takes the answer from the text by a filter"
        return f"the task {name!r} {found}; name one as `filter`.{choices(filter_name, filters)}"
    return f"the task {name!r} has no filters. Leave `filter` out." if filter_name and not filters else None


def _kind(config: dict[str, Any]) -> str:
    return str(config.get("output_type") or "generate_until")  # the harness's default


def task_config(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a task's file says, over what it includes; functions are left as their names. ``above`` are the files that
    include it (UserError: a key that is read here does not hold what it should)."""

    class Loader(yaml.SafeLoader):
        """Reads what the harness reads."""

    Loader.add_constructor("!function", lambda loader, node: node.value)
    try:
        given = yaml.load(path.read_bytes(), Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({error}).") from None
    if not isinstance(given, dict):
        raise UserError(f"{path}: a mapping of keys is needed, found {type(given).__name__}.")
    try:
        _Keys.model_validate(given)
    except ValidationError as error:
        said = " ".join(map(_said_of_key, error.errors()))
        raise UserError(f"{path}: {said} Mend the task's file.") from None
    return over_included(path, given, task_config, above)


def _said_of_key(item: Mapping[str, Any]) -> str:
    said = "missing." if item["type"] == "missing" else what_is_wrong(item)
    return f"{'.'.join(map(str, item['loc']))}: {said}"


def over_included(
    path: Path,
    given: dict[str, Any],
    read: Callable[[Path, tuple[Path, ...]], dict[str, Any]],
    above: tuple[Path, ...] = (),
) -> dict[str, Any]:
    """What a task's file says over what it includes: files beside it as in the harness, or tasks by their names.

    ``given`` is what stands in the file ``path``, which the files ``above`` include; ``read`` reads one that it
    includes itself. UserError: it is not there, or includes itself.
    """
    named, below = given.get("include") or [], dict[str, Any]()
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: include: {named!r} is not accepted. Accepted: a file or task by name, or a list.")
    above = (*above, path.resolve())
    for name in names:
        try:
            included = beside if (beside := path.parent / name).is_file() else task_file(name)
            if included.resolve() in above:
                raise UserError(f"{included} includes itself. Take it out of one of the files.")
            below |= read(included, above)
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
