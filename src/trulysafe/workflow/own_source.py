"""Jobs take the package from the clone that they run in, also where it is not installed: conda environments,
containers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def own_source(source: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """``PYTHONPATH`` with a folder in front, for the processes that a workflow starts.

    Args:
        source: folder that holds the package.
        environ: variables to start from; other entries of theirs stay, behind.
    """
    others = filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys([str(source.resolve()), *others]))}
