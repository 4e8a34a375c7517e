"""The options that configuration keys pass on, described from where they are defined, for config/README.md.

Functions are read as syntax trees, so that no torch is needed to describe what a training function accepts.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from textwrap import dedent, indent
from types import ModuleType

from trulysafe.methods.method import Confidence, Mask, Online

PACKAGE = Path(__file__).resolve().parents[2]
Rows = Sequence[tuple[str, ...]]


def sections(key: str) -> list[str]:
    """Sections on the options below one key of the configuration."""
    makers: dict[str, Callable[[], list[str]]] = {
        "models": _models,
        "datasets": _datasets,
        "rewards": partial(_fit, "rewards"),
        "token_rewards": partial(_fit, "token_rewards"),
        "methods": _methods,
        "judges": _judges,
    }
    return makers[key]() if key in makers else []


def _models() -> list[str]:
    from trulysafe.models.pretrain import ARCHITECTURE, TRAINING

    text = "Read by `trulysafe.models.pretrain.train_base`.\n\n"
    return [
        _section(
            f"models.{name}", text, ("Key", "Default"), [(f"`{key}`", f"`{value}`") for key, value in table.items()]
        )
        for name, table in (("architecture", ARCHITECTURE), ("training", TRAINING))
    ]


def _datasets() -> list[str]:
    from trulysafe.data.demo.parts import PARTS
    from trulysafe.data.sources import READERS

    kinds = [_dataset_kind(kind, READERS.module(kind)) for kind in READERS.names]
    parts = [(f"`{part}`", table) for part, table in PARTS.items()]
    return [
        _section("datasets.kind", "", ("Kind", "Table", "Default path", "Hub", "Meaning"), kinds),
        _section("datasets.options: parts of the demo", "", ("Part", "Table"), parts),
    ]


def _dataset_kind(kind: str, module: ModuleType) -> tuple[str, ...]:
    fields = module.Options.model_fields
    paths, repo = (fields[key].default if key in fields else "" for key in ("path", "repo"))
    return (
        f"`{kind}`",
        getattr(module.Options, "TABLE", "by its options"),
        ", ".join(f"`{path}`" for path in paths),
        f"`{repo}`" if repo else "",
        _words(module.__doc__),
    )


def _fit(table: str) -> list[str]:
    return [_section(f"{table}.fit", "", ("Key", "Accepts", "Default", "Meaning"), arguments(*FITS[table]))]


def _methods() -> list[str]:
    header = ("Key", "Accepts", "Default", "Meaning")
    return [
        _section(f"methods.{name}", "", header, _attributes(table))
        for name, table in (("confidence", Confidence), ("mask", Mask), ("online", Online))
    ]


def _judges() -> list[str]:
    from trulysafe.judges.registry import JUDGES, OPTIONS

    rows = [
        (
            f"`{kind}`",
            ", ".join(f"`{option}`" for option in OPTIONS[kind]),
            _words(sys.modules[judge.__module__].__doc__),
        )
        for kind, judge in JUDGES.items()
    ]
    return [_section("judges.kind", "", ("Kind", "Options", "Meaning"), rows)]


FITS = {
    "rewards": ("reward/fit.py", "fit_hybrid_reward"),
    "token_rewards": ("token_rewards/classifier.py", "fit_token_rm"),
}
"""Table of the configuration -> file and function that its ``fit`` is passed on to."""


def fit_keys(table: str) -> list[str]:
    """Keys that ``fit`` of a table's components accepts."""
    return [row[0].strip("`") for row in arguments(*FITS[table])]


def arguments(file: str, function: str) -> Rows:
    """Keyword arguments of a function of the package: name, type, default, meaning."""
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    meanings = described(ast.get_docstring(found) or "", "Args")
    return [
        (f"`{argument.arg}`", _type(ast.unparse(argument.annotation)), f"`{_literal(default)}`", meanings[argument.arg])
        for argument, default in zip(found.args.kwonlyargs, found.args.kw_defaults, strict=True)
        if argument.annotation is not None and default is not None and argument.arg not in ("seed", "groups")
    ]


def _literal(node: ast.expr) -> str:
    value = ast.literal_eval(node)
    return {"True": "true", "False": "false", "None": "none"}.get(str(value), str(value))


def _attributes(table: type) -> Rows:
    meanings = described(table.__doc__ or "", "Attributes")
    return [
        (
            f"`{item.name}`",
            _type(str(item.type)),
            f"`{str(item.default).lower() if item.type == 'bool' else item.default}`",
            meanings[item.name],
        )
        for item in fields(table)
        if item.default is not MISSING
    ]


def described(docstring: str, heading: str) -> dict[str, str]:
    """Name and description of each entry below a heading of a docstring, such as ``Args`` or ``Attributes``."""
    block = re.search(rf"^ *{heading}:\n((?:.*\n?)*?)(?:\n *[A-Z]\w+:\n|\Z)", docstring, re.MULTILINE)
    entries = re.findall(
        r"^ +(\w+): ((?:.*\n?)(?: {8,}(?!\w+: ).*\n?)*)",
        indent(dedent(block.group(1)), "    ") if block else "",
        re.MULTILINE,
    )
    return {name: _words(text) for name, text in entries}


def _type(annotation: str) -> str:
    words = {"str": "text", "int": "whole number", "float": "number", "bool": "`true`, `false`", "None": "none"}
    return " or ".join(words.get(part.strip(), part.strip()) for part in annotation.split("|"))


def _words(text: str | None) -> str:
    """First paragraph of a docstring as Markdown, on one line, as a sentence."""
    first = " ".join((text or "").strip().split("\n\n")[0].split())
    first = re.sub(r":(?:meth|func|class|mod):`~?([^`]+)`", r"`\1`", first).replace("``", "`")
    return first[:1].upper() + first[1:] if first else ""


def _section(title: str, text: str, header: tuple[str, ...], rows: Rows) -> str:
    return f"### {title}\n\n{text}{markdown_table(header, rows)}"


def markdown_table(header: tuple[str, ...], rows: Rows) -> str:
    """Format a Markdown table."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
