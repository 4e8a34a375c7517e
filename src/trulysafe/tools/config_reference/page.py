"""config/README.md: for every table of the configuration its keys, types, defaults and meanings, and an example."""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic.fields import FieldInfo

from trulysafe.common.kinds import OfKind, Options
from trulysafe.common.options import PartOf, Table, tables_in
from trulysafe.config.tables.configuration import Configuration

INTRO = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["intro"]
HEADER = ("Key", "Accepts", "Default", "Meaning")
Titles = dict[type[Table], str]


def reference(demo: Mapping[str, Any], root: type[Table] = Configuration) -> str:
    """The page as text; ``demo`` is the parsed config/demo.yaml, for the examples."""
    titles = sections(root)
    parts = [INTRO, f"## Top level\n\n{markdown_table(HEADER, rows(root, titles))}"]
    for table, title in titles.items():
        about, keys = _first_sentences(table.__doc__), markdown_table(HEADER, rows(table, titles))
        heading = f"{'###' if '.' in title else '##'} {title}"
        parts.append(f"{heading}\n\n{about}\n\n{keys}{_example(title, table, demo)}")
        if issubclass(table, OfKind):
            parts += _kinds(title, table, titles)
    return "\n".join(parts)


def sections(root: type[Table]) -> Titles:
    """Every table below ``root`` and the title of its section: the fewest keys that lead to it, and what chooses it."""
    found: Titles = {}
    open_tables = [(root, "", "")]
    for table, under, chosen in open_tables:  # the list grows while it is walked, level by level
        for name, field in table.model_fields.items():
            key = f"{under}.{name}" if under else name
            for inner in tables_in(field.annotation):
                if inner not in found and not issubclass(inner, Options):
                    chooser = _chooser(field.annotation)
                    values = " or ".join(get_args(inner.model_fields[chooser].annotation)) if chooser else ""
                    title = f"{key}: {chooser} {values}" if chooser else key
                    found[inner] = f"{title} ({chosen})" if title in found.values() else title
                    open_tables.append((inner, key, values or chosen))
    order = [*root.model_fields]
    return dict(sorted(found.items(), key=lambda item: order.index(re.split(r"\W", item[1])[0])))


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
    for key, field in table.model_fields.items():
        name = field.alias or key
        accepts = _accepts(schema[name], tables_in(field.annotation), titles)
        marks = [*field.metadata, *(mark for kind in get_args(field.annotation) for mark in get_args(kind))]
        if parts := [f"keys of {_link(titles[mark.table])}" for mark in marks if isinstance(mark, PartOf)]:
            accepts = " or ".join([*parts, *(["none"] if field.default is None else [])])
        yield f"`{name}`", accepts, _default(field), " ".join((field.description or "").split())


def _kinds(title: str, table: type[OfKind], titles: Titles) -> Iterator[str]:
    """What each kind is, and the options of all kinds: those that several inherit stand once."""
    kinds = {kind: table.KINDS.options_class(kind) for kind in table.KINDS.names}
    meanings = [
        (f"`{kind}`", _keys_beside(of), _own_defaults(of), _first_sentences(sys.modules[of.__module__].__doc__))
        for kind, of in kinds.items()
    ]
    yield f"### {title}.kind\n\n{markdown_table(('Kind', 'Keys', 'Of its own', 'Meaning'), meanings)}"
    listed = []
    for base in dict.fromkeys(base for of in kinds.values() for base in _classes(of)):
        takers = _named([kind for kind, of in kinds.items() if issubclass(of, base)], list(kinds))
        inherited = {key for other in _classes(base) if other is not base for key in other.model_fields}
        keys = zip(base.model_fields, rows(base, titles), strict=True)
        listed += [(row[0], takers, *row[1:]) for key, row in keys if key not in inherited]
    if listed:
        yield f"### {title}.options\n\n{markdown_table((HEADER[0], 'Kinds', *HEADER[1:]), listed)}"


def _classes(options: type[Options]) -> list[type[Options]]:
    """The class of a kind's options after those that it is made of."""
    return [base for base in reversed(options.__mro__) if issubclass(base, Options)]


def _keys_beside(options: type[Options]) -> str:
    """Keys beside ``options`` that a kind takes, where not every kind does."""
    return ", ".join([*(f"`{key}` (needed)" for key in options.NEEDS), *(f"`{key}`" for key in options.READS)])


def _own_defaults(options: type[Options]) -> str:
    """What kind of table a reader gives, and defaults in which a kind differs from those whose options it shares."""
    gives = [f"gives `{options.TABLE}`"] if hasattr(options, "TABLE") else []
    inherited = {key: field for base in _classes(options)[:-1] for key, field in base.model_fields.items()}
    changed = {key: _default(options.model_fields[key]) for key, field in inherited.items()}
    return ", ".join([*gives, *(f"`{key}`: {new}" for key, new in changed.items() if new != _default(inherited[key]))])


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
        title = next(titles.get(table) for table in tables if name.endswith(table.__name__))
        return _link(title) if title else "options of the kind"
    if union := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_accepts(kind, tables, titles) for kind in union)
    match schema.get("type"):
        case "null":
            return "none"
        case "array":
            return f"list of {_accepts(schema['items'], tables, titles)}"
        case "string":
            return "name" if "pattern" in schema else "text"
        case "boolean":
            return "`true`, `false`"
        case "integer" | "number":
            words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
            bounds = [f"{sign} {schema[key]:g}" for key, sign in words.items() if key in schema]
            number = "whole number" if schema["type"] == "integer" else "number"
            return f"{number} {' and '.join(bounds)}" if bounds else number
        case "object":
            values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")][0]
            if isinstance(values, Mapping):
                keys = _accepts(schema["propertyNames"], tables, titles) if "propertyNames" in schema else "name"
                return f"{keys}: {_accepts(values, tables, titles)}"
    return "options"


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
    if value is None or value in ("", {}, [], ()):
        return "none"
    if isinstance(value, dict) and any("://" in key for key in value):
        return "known"
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
