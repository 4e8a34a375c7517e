"""Write config/README.md and config/schema.json from the classes of the configuration: `make docs`."""

import json
import sys
from pathlib import Path

import yaml

from trulysafe.tools.config_reference.page import reference
from trulysafe.tools.config_reference.schema import schema


def written(folder: Path) -> dict[Path, str]:
    """Both files of a folder of configurations, as texts."""
    demo = yaml.safe_load((folder / "demo.yaml").read_text(encoding="utf-8"))
    made = json.dumps(schema(), indent=1, ensure_ascii=False)
    return {folder / "README.md": reference(demo), folder / "schema.json": f"{made}\n"}


if __name__ == "__main__":
    for path, text in written(Path(sys.argv[1])).items():
        path.write_text(text, encoding="utf-8")
