"""config/README.md: a section for every table of the configuration, with keys, types, defaults, meanings and an example from the demo."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import yaml
from pydantic.fields import FieldInfo

from trulysafe.common.kinds import OfKind
from trulysafe.common.options import PartOf, Table, tables_in
from trulysafe.config.tables.configuration import Configuration

INTRO = """\
# Configuration keys

Generated from the classes of the package by `make docs`; edit the descriptions there. [schema.json](schema.json), made from the same classes,
tells editors what they may complete and what is wrong.

A configuration is one YAML file of component tables. Components are named once and refer to each other by name; what two experiments
share is computed once. Unknown keys are refused. Without `--configfile` the demo, [demo.yaml](demo.yaml), is used;
`--config key=value` changes single keys, for example `--config scenario=try1 'methods={dpo: {beta: 0.3}}'`. The configuration as it was
used, all defaults filled in, is written to `results/<scenario>/config.yaml`.
"""
HEADER = ("Key", "Accepts", "Default", "Meaning")
Titles = dict[type[Table], str]


def reference(demo: Mapping[str, Any], root: type[Table] = Configuration) -> str:
    """The page as text; ``demo`` is the parsed config/demo.yaml, for the examples."""
    titles = sections(root)
    parts = [INTRO, f"## Top level\n\n{markdown_table(HEADER, rows(root, titles))}"]
    for table, title in titles.items():
        example = _example(title, table, demo)
        heading = "###" if "." in title else "##"
        parts.append(
            f"{heading} {title}\n\n{_first_sentences(table.__doc__)}\n\n{markdown_table(HEADER, rows(table, titles))}{example}"
        )
        if issubclass(table, OfKind):
            parts += _kinds(title, table, titles)
    return "\n".join(parts)


def sections(root: type[Table]) -> Titles:
    """Every table below ``root`` and the title of its section: the keys that lead to it, and what chooses it among others."""
    found: Titles = {}
    _collect(root, "", found)
    return found


def _collect(table: type[Table], under: str, found: Titles) -> None:
    for name, field in table.model_fields.items():
        key = f"{under}.{name}" if under else name
        for inner in tables_in(field.annotation):
            if inner not in found:
                chooser = _chooser(field.annotation)
                values = " or ".join(get_args(inner.model_fields[chooser].annotation)) if chooser else ""
                found[inner] = f"{key}: {chooser} {values}" if chooser else key
                _collect(inner, key, found)


def _chooser(annotation: Any) -> str | None:
    """The key by which one of several tables is chosen."""
    for part in get_args(annotation):
        found = part.discriminator if isinstance(part, FieldInfo) else _chooser(part)
        if found:
            return str(found)
    return None


def rows(table: type[Table], titles: Titles) -> Iterator[tuple[str, ...]]:
    """Name, accepted values, default and meaning of each key of a table."""
    schema = table.model_json_schema()["properties"]
    for name, field in table.model_fields.items():
        accepts = _accepts(schema[name], tables_in(field.annotation), titles)
        if parts := [part.table for part in _parts(field)]:
            accepts = " or ".join(f"keys of {_link(titles[part])}" for part in parts)
            accepts += " or none" if field.default is None else ""
        yield f"`{name}`", accepts, _default(field), field.description or ""


def _parts(field: FieldInfo) -> list[PartOf]:
    marks = [*field.metadata, *(mark for kind in get_args(field.annotation) for mark in get_args(kind))]
    return [mark for mark in marks if isinstance(mark, PartOf)]


def _kinds(title: str, table: type[OfKind], titles: Titles) -> Iterator[str]:
    """Kinds of a component with their meanings, and the options that one or several of them take."""
    modules = {kind: table.KINDS.module(kind) for kind in table.KINDS.names}
    meanings = [(f"`{kind}`", _first_sentences(module.__doc__)) for kind, module in modules.items()]
    yield f"### {title}.kind\n\n{markdown_table(('Kind', 'Meaning'), meanings)}"
    takers: dict[tuple[str, ...], list[str]] = {}
    for kind, module in modules.items():
        for row in rows(module.Options, titles):
            takers.setdefault(row, []).append(kind)
    listed = [(row[0], _named(kinds, list(modules)), *row[1:]) for row, kinds in takers.items()]
    if listed:
        yield f"### {title}.options\n\n{markdown_table((HEADER[0], 'Kinds', *HEADER[1:]), listed)}"


def _named(kinds: list[str], known: list[str]) -> str:
    others = [kind for kind in known if kind not in kinds]
    if len(others) < len(kinds):
        return f"all but {', '.join(f'`{kind}`' for kind in others)}" if others else "all"
    return ", ".join(f"`{kind}`" for kind in kinds)


def _first_sentences(text: str | None) -> str:
    """First paragraph of a docstring as Markdown, on one line."""
    first = " ".join((text or "").strip().split("\n\n")[0].split())
    return re.sub(r":(?:meth|func|class|mod|data):`~?([^`]+)`", r"`\1`", first).replace("``", "`")


def _accepts(schema: Mapping[str, Any], tables: list[type[Table]], titles: Titles) -> str:
    """Say in words what a JSON schema accepts."""
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return _link(next(titles[table] for table in tables if name.endswith(table.__name__)))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            kinds = ["none" if it.get("type") == "null" else _accepts(it, tables, titles) for it in schema[union]]
            return " or ".join(kinds)
    match schema.get("type"):
        case "array":
            return f"list of {_accepts(schema['items'], tables, titles)}"
        case "object":
            return _mapping(schema, tables, titles)
        case "string":
            return "name" if "pattern" in schema else "text"
        case "boolean":
            return "`true`, `false`"
        case "integer" | "number":
            return ("whole number" if schema["type"] == "integer" else "number") + _bounds(schema)
    return "options"


def _mapping(schema: Mapping[str, Any], tables: list[type[Table]], titles: Titles) -> str:
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        keys = _accepts(schema["propertyNames"], tables, titles) if "propertyNames" in schema else "name"
    elif "patternProperties" in schema:
        keys, values = "name", next(iter(schema["patternProperties"].values()))
    else:
        return "options"
    return f"{keys}: {_accepts(values, tables, titles)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in words.items() if key in schema]
    return f" {' and '.join(bounds)}" if bounds else ""


def _link(title: str) -> str:
    return f"[{title}](#{anchor(title)})"


def anchor(title: str) -> str:
    """The fragment that a Markdown heading gets."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Table):
        return "see there"
    if value in ("", None) or value == {} or value == []:
        return "none"
    return f"`{value:g}`" if isinstance(value, float) else f"`{plain(value)}`"


def plain(value: Any) -> str:
    """A value as one line of YAML."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).replace("\n...", "").strip()


def _example(title: str, table: type[Table], demo: Mapping[str, Any]) -> str:
    """What the demo gives under a key: all of it, or of several components the longest that is of this table."""
    key, _, choice = title.partition(": ")
    chosen = demo.get(key)
    if not chosen or key == "report":
        return ""
    if isinstance(next(iter(chosen.values())), Mapping) and key != "split":
        chooser, _, values = choice.partition(" ")
        entries = [item for item in chosen.items() if not choice or item[1][chooser] in values.split(" or ")]
        chosen = dict([max(entries, key=lambda item: len(plain(item[1])))]) if entries else None
    dumped = yaml.safe_dump({key: chosen}, default_flow_style=None, sort_keys=False, width=120)
    return f"\n```yaml\n{dumped}```\n" if chosen else ""


def markdown_table(header: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    """Format a Markdown table."""
    cells = [header, tuple("---" for _ in header), *lines]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in cells)
