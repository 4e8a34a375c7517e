"""Turn sources into schema tables: one small reader per source, all in the table ``SOURCES``.

A reader takes one :class:`~trulysafe.data.records.Row` and the dataset's options, and returns the fields of one table row
(``prompt`` and, by kind, ``response`` or ``chosen`` and ``rejected``; further ``risk``, ``family``, ``label``, ``meta``), or raises
:class:`SkipRowError` with the reason why the row is of no use. Everything else (ids, duplicates, sizes, counts of what was left out) is done
here, once. To add a source, write the reader and register it with :func:`source`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.common.ids import pair_id, prompt_id, response_id, unit_interval
from trulysafe.common.schema import RISKS, check_table
from trulysafe.data.records import FORMATS, Row, file_rows, find_files, hub_rows

Fields = dict[str, Any]
FILE_OPTIONS = (
    "source",
    "folder",
    "path",
    "repo",
    "revision",
    "split",
    "subset",
    "files",
    "rows",
    "max_characters",
    "risk",
    "harmful",
)
"""Options of every reader of files or hub datasets; config/README.md explains them."""
TEXTS = {"prompts": ("prompt",), "responses": ("prompt", "response"), "pairs": ("prompt", "chosen", "rejected")}
"""Text columns that the rows of each kind of table must have."""


class SkipRowError(Exception):
    """Raised by a reader: the row is well-formed but of no use here; the message is the reason that is counted."""


class Loaded(NamedTuple):
    """What :func:`read` returns."""

    frame: pd.DataFrame
    schema_kind: str
    report: dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A registered reader and what it needs to know about its source."""

    reader: Callable[[Row, Fields], Fields]
    schema_kind: str
    path: tuple[str, ...] = ()
    repo: str = ""
    options: tuple[str, ...] = ()
    repeats: bool = False
    """True where a repeated row is information (a second label), not a duplicate."""


SOURCES: dict[str, Source] = {}


def source(
    kind: str, schema_kind: str, *path: str, repo: str = "", options: tuple[str, ...] = (), repeats: bool = False
) -> Callable:
    """Register the decorated reader under ``kind``; ``path`` and ``repo`` are where it reads from if the options do not say."""

    def register(reader: Callable[[Row, Fields], Fields]) -> Callable[[Row, Fields], Fields]:
        SOURCES[kind] = Source(reader, schema_kind, path, repo, options, repeats)
        return reader

    return register


def kind_of(kind: str, options: Fields) -> str:
    """Schema kind of the table that a source gives under these options."""
    if SOURCES[kind].schema_kind:
        return SOURCES[kind].schema_kind
    columns = options.get("columns", {})
    return options.get("schema") or (
        "pairs" if "chosen" in columns else "responses" if "response" in columns else "prompts"
    )


def from_hub(kind: str, options: Fields) -> bool:
    """Whether the rows come from the Hugging Face hub rather than from files."""
    return options.get("source", "hub" if kind == "hub" else "file") == "hub"


def rows_of(kind: str, options: Fields) -> Iterator[Row]:
    """Rows of the source, from files or from the hub, before any reader has seen them."""
    if from_hub(kind, options):
        repo, split = options.get("repo") or SOURCES[kind].repo, options.get("split", "train")
        return hub_rows(
            repo,
            revision=options["revision"],
            split=split,
            subset=options.get("subset"),
            files=options.get("files", ()),
        )
    return file_rows(find_files(options.get("folder", ""), paths_of(kind, options)), kind if kind in FORMATS else "")


def paths_of(kind: str, options: Fields) -> list[str]:
    """Paths or patterns of the files to read."""
    path = options.get("path") or list(SOURCES[kind].path)
    if not path:
        raise UserError(f"dataset of kind {kind!r}: `path` is missing; give a file, a list of files or a pattern.")
    return [path] if isinstance(path, str) else list(path)


def build(kind: str, options: Fields, name: str) -> Loaded:
    """Read a source into its table.

    Args:
        kind: a key of ``SOURCES``.
        options: the dataset's options, already validated.
        name: text of the ``source`` column.

    Returns:
        The table, its schema kind, and the report: rows read, rows kept, and rows dropped by reason.
    """
    schema_kind, dropped, read = kind_of(kind, options), Counter[str](), 0
    records: list[Fields] = []
    options = options | {"schema": schema_kind}
    for row in rows_of(kind, options):
        read += 1
        try:
            records.append(_record(SOURCES[kind].reader(row, options), schema_kind, options, row.where))
        except SkipRowError as reason:
            dropped[str(reason)] += 1
    frame = pd.DataFrame(records, columns=list(records[0]) if records else _columns(schema_kind)).assign(source=name)
    frame = _marked(frame) if SOURCES[kind].repeats else _unique(frame, schema_kind, dropped)
    frame = _at_most(frame, options.get("rows"), dropped)
    if frame.empty:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "the source is empty"
        raise UserError(
            f"dataset {name!r} ({kind}): no row is left of {read} ({reasons}). Loosen its options or give another file."
        )
    report = {"source": name, "kind": kind, "read": read, "kept": len(frame), "dropped": dict(sorted(dropped.items()))}
    return Loaded(check_table(frame, schema_kind, f"dataset {name!r}"), schema_kind, report)


def _columns(schema_kind: str) -> list[str]:
    return ["prompt_id", *TEXTS[schema_kind]]


def _record(fields: Fields, schema_kind: str, options: Fields, where: str) -> Fields:
    """Complete one reader's fields to a table row."""
    texts = [fields[column] for column in TEXTS[schema_kind]]
    prompt, risk = texts[0], options.get("risk", fields.get("risk", ""))
    if risk not in RISKS:
        raise not_accepted(f"{where}: risk", risk, RISKS)
    if options.get("max_characters") and len(prompt) + max(map(len, texts[1:]), default=0) > options["max_characters"]:
        raise SkipRowError("longer than max_characters")
    record = {"prompt_id": prompt_id(prompt), **dict(zip(TEXTS[schema_kind], texts, strict=True)), "risk": risk}
    if schema_kind == "responses":
        record |= {"response_id": response_id(*texts), "label": fields.get("label", "")}
    if schema_kind == "pairs":
        if texts[1] == texts[2]:
            raise SkipRowError("chosen equals rejected")
        record |= {"pair_id": pair_id(*texts), "chosen_reward": float("nan"), "rejected_reward": float("nan")}
    # a prompt without topic or template is a family of its own: that is what resampling by family then means
    record["family"] = fields.get("family") or record["prompt_id"]
    known = {"harmful": options["harmful"]} if "harmful" in options else {}
    return record | {"meta": json.dumps(fields.get("meta", {}) | known, sort_keys=True, ensure_ascii=False)}


def _unique(frame: pd.DataFrame, schema_kind: str, dropped: Counter[str]) -> pd.DataFrame:
    key = {"prompts": ["prompt_id", "risk"], "responses": ["response_id", "label"], "pairs": ["pair_id"]}[schema_kind]
    unique = frame.drop_duplicates(key, ignore_index=True)
    if len(unique) < len(frame):
        dropped["duplicate"] += len(frame) - len(unique)
    return unique


def _marked(frame: pd.DataFrame) -> pd.DataFrame:
    """Note in ``meta.labels`` all classes of a prompt that carries more than one."""
    labels = frame.groupby("prompt_id")["risk"].agg(lambda risks: sorted(set(risks)))
    several = [labels[prompt] for prompt in frame["prompt_id"]]
    marks = [{"labels": risks} if len(risks) > 1 else {} for risks in several]
    meta = [json.loads(text) | mark for text, mark in zip(frame["meta"], marks, strict=True)]
    return frame.assign(meta=[json.dumps(facts, sort_keys=True, ensure_ascii=False) for facts in meta])


def _at_most(frame: pd.DataFrame, rows: int | None, dropped: Counter[str]) -> pd.DataFrame:
    """Keep ``rows`` rows, by the hash of their prompt: smaller numbers give subsets of larger ones."""
    if rows is None or rows >= len(frame):
        return frame
    dropped["beyond `rows`"] += len(frame) - rows
    order = frame["prompt_id"].map(lambda prompt: unit_interval(prompt, salt="rows"))
    return frame.loc[order.sort_values(kind="stable").index[:rows].sort_values()].reset_index(drop=True)
