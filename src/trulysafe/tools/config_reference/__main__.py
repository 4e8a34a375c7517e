"""Write config/README.md and config/schema.json from the classes of the configuration: `make docs`. The schema, made
here, is what editors complete and mark in a configuration."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from trulysafe.common.options import Table, TableOfKinds
from trulysafe.config.tables.configuration import Configuration
from trulysafe.tools.config_reference.page import reference, sections

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def written(folder: Path) -> dict[Path, str]:
    """Both files of a folder of configurations, as texts."""
    demo = yaml.safe_load((folder / "demo.yaml").read_text(encoding="utf-8"))
    made = json.dumps(schema(), indent=1, ensure_ascii=False)
    return {folder / "README.md": reference(demo), folder / "schema.json": f"{made}\n"}


def schema(root: type[Table] = Configuration) -> dict[str, Any]:
    """The schema of one configuration file.

    A file may be laid over another, so no key is required, and null takes a component away, or a key that another kind
    would not read. What the files come to together is checked when the workflow loads them.
    """
    made = _of_a_layer(root.model_json_schema())
    tables = made["$defs"]
    for name in (table.__name__ for table in sections(root) if issubclass(table, TableOfKinds)):
        tables[name]["properties"] = {key: _or_null(item) for key, item in tables[name]["properties"].items()}
    linked = {key: _with_links(item, tables, key) for key, item in tables.items()}
    return {"$schema": DRAFT, **_with_links(made, tables), "$defs": linked}


def _of_a_layer(part: Any) -> Any:
    """A part of a schema without required keys, with null in place of a component, and without a choice by a key."""
    if isinstance(part, list):
        return [_of_a_layer(item) for item in part]
    if not isinstance(part, dict):
        return part
    found = {}
    for key, value in part.items():
        if key in ("properties", "$defs"):
            found[key] = {name: _of_a_layer(item) for name, item in value.items()}
            for item in found[key].values() if key == "properties" else ():
                if "description" in item:  # of a key, which may stand on several lines
                    item["description"] = " ".join(item["description"].split())
        elif key == "patternProperties":
            found[key] = {name: _or_null(_of_a_layer(item)) for name, item in value.items()}
        elif key in ("if", "default"):  # a condition on the kind of a component keeps what it requires
            found[key] = value
        elif key not in ("required", "discriminator"):
            found["anyOf" if key == "oneOf" else key] = _of_a_layer(value)
    return found


def _or_null(part: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [part, {"type": "null"}]}


def _with_links(part: Any, tables: dict[str, Any], inside: str = "") -> Any:
    """A part of a schema with links in place of tables that are written out, but for ``inside``, which it is itself."""
    if isinstance(part, list):
        return [_with_links(item, tables) for item in part]
    if not isinstance(part, dict):
        return part
    name = part.get("title")
    if isinstance(name, str) and name != inside and part == tables.get(name):
        return {"$ref": f"#/$defs/{name}"}
    return {key: _with_links(item, tables) for key, item in part.items()}


if __name__ == "__main__":
    for path, text in written(Path(sys.argv[1])).items():
        path.write_text(text, encoding="utf-8")
