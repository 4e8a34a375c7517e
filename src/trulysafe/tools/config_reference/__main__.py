"""Write config/README.md, the reference of all configuration keys, from the typed configuration: `make docs`.

Keys, types, defaults and meanings come from the pydantic models; the options that a component passes on to a function or a
reader come from where these are defined (:mod:`.options_reference`); the examples come from config/demo.yaml.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from trulysafe.common.kinds import OfKind, Options
from trulysafe.common.options import Table, tables_in
from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.tables.evaluation import Ablation, Contrast, KeptTokens, RewardAblation, Sweep
from trulysafe.config.tables.preferences import PolicyOf
from trulysafe.config.tables.sources import EndpointLlm, HubModel, LocalLlm, TrainedModel
from trulysafe.tools.config_reference.options import markdown_table, sections

INTRO = """\
# Configuration keys

Generated from `src/trulysafe/config/tables/` by `make docs`; edit the descriptions there.

A configuration is one YAML file of component tables. Components are named once and refer to each other by name; what two experiments
share is computed once. Unknown keys are refused. Without `--configfile` the demo, [demo.yaml](demo.yaml), is used;
`--config key=value` changes single keys, for example `--config scenario=try1 'methods={dpo: {beta: 0.3}}'`. The configuration as it was
used, all defaults filled in, is written to `results/<scenario>/config.yaml`.
"""
SPECIAL = {
    "models": ("models: source train", "models: source hub or path"),
    "llms": ("llms: backend local", "llms: backend endpoint"),
}
"""Titles of the sections of a key that has more than one kind of table."""

REPORT: dict[str, type[Table]] = {
    "report.contrasts": Contrast, "report.sweeps": Sweep, "report.ablations": Ablation,
    "report.reward_ablations": RewardAblation, "report.kept_tokens": KeptTokens,
}  # fmt: skip
"""Tables within ``report``."""


def reference(demo: Mapping[str, Any]) -> str:
    """Return config/README.md as text; ``demo`` is the parsed config/demo.yaml, for the examples."""
    parts = [INTRO, _section("Top level", Configuration)]
    for key, field in Configuration.model_fields.items():
        tables = tables_in(field.annotation)
        for table, title in zip(tables, SPECIAL.get(key, (key,)), strict=False):
            parts.append(_section(title, table, _example(key, table, demo)))
        parts += (own := sections(key))
        parts += [text for of in tables if issubclass(of, OfKind) for text in _kinds(key, of, listed=bool(own))]
        if key == "experiments":
            parts.append(_section("policy references", PolicyOf))
        if key == "report":
            parts += [_section(title, table) for title, table in REPORT.items()]
    return "\n".join(parts)


def _section(title: str, table: type[Table], example: str = "", keys: Collection[str] = ()) -> str:
    schema = table.model_json_schema()["properties"]
    named = {
        field.alias or key: field for key, field in table.model_fields.items() if key in (keys or table.model_fields)
    }
    rows = [
        (f"`{name}`", _accepts(schema[name]), _default(field), field.description or "") for name, field in named.items()
    ]
    text = "" if table is Configuration else f"{table.__doc__ or first_paragraph(table)}\n\n"
    return f"## {title}\n\n{text}{markdown_table(('Key', 'Accepts', 'Default', 'Meaning'), rows)}{example}"


def _kinds(title: str, table: type[OfKind], listed: bool) -> list[str]:
    """What each kind is, unless they are ``listed`` already, and their options: those that kinds share stand once."""
    options = {kind: table.KINDS.options_class(kind) for kind in table.KINDS.names}
    rows = [
        (f"`{kind}`", *(", ".join(f"`{key}`" for key in keys) for keys in (of.NEEDS, of.READS)), first_paragraph(of))
        for kind, of in options.items()
    ]
    kinds = f"### {title}.kind\n\n{markdown_table(('Kind', 'Needs', 'Reads', 'Meaning'), rows)}"
    classes = dict.fromkeys(of for kind in options.values() for of in reversed(kind.__mro__) if issubclass(of, Options))
    of_all = tables_in(table.model_fields["options"].annotation)
    names = {of: "" if of in of_all else f": {of.__module__.rsplit('.', 1)[-1].strip('_')}" for of in classes}
    sections_of = [
        f"#{_section(f'{title}.options{names[of]}', of, keys=_own_keys(of))}" for of in classes if _own_keys(of)
    ]
    return sections_of if listed else [kinds, *sections_of]


def _own_keys(options: type[Options]) -> set[str]:
    inherited = {key for base in options.__mro__[1:] if issubclass(base, Table) for key in base.model_fields}
    return set(options.model_fields) - inherited


def first_paragraph(options: type[Table]) -> str:
    """What the module of a kind says that it is."""
    return " ".join((sys.modules[options.__module__].__doc__ or "").split("\n\n")[0].split())


def _accepts(schema: Mapping[str, Any]) -> str:
    """Say in words what a JSON schema accepts."""
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema:
        return _link(schema["$ref"].rsplit("/", 1)[-1])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join("none" if item.get("type") == "null" else _accepts(item) for item in schema[union])
    match schema.get("type"):
        case "array":
            return f"list of {_accepts(schema['items'])}"
        case "object":
            return _mapping(schema)
        case "string":
            return "name" if "pattern" in schema else "text"
        case "boolean":
            return "`true`, `false`"
        case "integer" | "number":
            return ("whole number" if schema["type"] == "integer" else "number") + _bounds(schema)
    return "options"


def _mapping(schema: Mapping[str, Any]) -> str:
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        keys = _accepts(schema["propertyNames"]) if "propertyNames" in schema else "name"
    elif "patternProperties" in schema:
        keys, values = "name", next(iter(schema["patternProperties"].values()))
    else:
        return "options"
    return f"{keys}: {_accepts(values)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in words.items() if key in schema]
    return f" {' and '.join(bounds)}" if bounds else ""


def _link(name: str) -> str:
    """Link to the section of a table, given the name of its class."""
    titles = (
        {
            table.__name__: title
            for key, field in Configuration.model_fields.items()
            for table, title in zip(tables_in(field.annotation), SPECIAL.get(key, (key,)), strict=False)
        }
        | {table.__name__: title for title, table in REPORT.items()}
        | {PolicyOf.__name__: "policy references"}
    )
    title = titles[name]
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


def _example(key: str, table: type[Table], demo: Mapping[str, Any]) -> str:
    """The longest component of the demo that is of this table."""
    section = demo.get(key)
    if not section or table.__name__ == "Report":
        return ""
    if key in ("split", "training", "batching", "drift"):
        chosen = section
    else:
        entries = [(name, entry) for name, entry in section.items() if _is_of(entry, table)]
        if not entries:
            return ""
        name, entry = max(entries, key=lambda item: len(plain(item[1])))
        chosen = {name: entry}
    dumped = yaml.safe_dump({key: chosen}, default_flow_style=None, sort_keys=False, width=120)
    return f"\n```yaml\n{dumped}```\n"


def _is_of(entry: Mapping[str, Any], table: type[Table]) -> bool:
    if table in (LocalLlm, EndpointLlm):
        return (entry["backend"] == "local") == (table is LocalLlm)
    return table not in (TrainedModel, HubModel) or (entry["source"] == "train") == (table is TrainedModel)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(
        reference(yaml.safe_load((target.parent / "demo.yaml").read_text(encoding="utf-8"))), encoding="utf-8"
    )
