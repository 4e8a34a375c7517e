"""Folders of results and caches: can they be written to, and does what a run keeps fit?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trulysafe.common.errors import UserError
from trulysafe.config.tables.configuration import Configuration
from trulysafe.plan.plan import Plan
from trulysafe.prefetch.hub import environment
from trulysafe.tools.cluster_check.findings import Finding, command
from trulysafe.tools.cost.assumptions import Assumptions
from trulysafe.tools.cost.jobs import Jobs
from trulysafe.tools.cost.screen import disk

CACHES = ("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "XDG_CACHE_HOME", "TMPDIR")
LEAST_FREE_GB = 50
FETCHED = "prefetch_"


@dataclass(frozen=True)
class Needed:
    """GB that a run keeps, at most: in its results, and in the cache of the hub."""

    results: float = 0.0
    cache: float = 0.0


def needed(config: Configuration) -> Needed:
    """What the plan of a configuration says (``make plan``).

    Raises:
        UserError: the size of a model is not known.
    """
    jobs = Jobs(config, Assumptions()).all()
    cache = sum(job.disk for job in jobs if job.rule.startswith(FETCHED))
    return Needed((sum(job.disk for job in jobs) - cache) / 1e9, cache / 1e9)


def folders(config: Configuration | None) -> Iterator[Finding]:
    """Whether folders can be written to and have the room that the configuration's plan takes, and whether caches are set."""
    room, begun, fetching = Needed(), False, False
    if config:
        plan = Plan(config)
        begun, fetching = Path(plan.results("data")).exists(), bool(plan.prefetch.records)
        try:
            room = needed(config)
        except UserError as error:
            yield Finding("note", "disk", f"not compared with the plan: {error}")
    yield folder("results", Path.cwd(), room.results, begun)
    if config and (config.cache or fetching):
        try:
            cache = environment(config.cache, fetched=False).get("HF_HUB_CACHE")
        except UserError as error:
            yield Finding("mend", "cache", str(error))
        else:
            path = Path(cache) if cache else own_cache()
            yield folder("cache", path, room.cache, path.exists())
    for key in CACHES:
        if os.environ.get(key):
            yield folder(key, Path(os.environ[key]))
    if not os.environ.get("HF_HOME") and not (config and config.cache):
        yield Finding(
            "note",
            "HF_HOME",
            "not set, models go to ~/.cache: `export HF_HOME=<large shared folder>` if your home has a quota",
        )


def folder(name: str, path: Path, gigabytes: float = 0.0, begun: bool = False) -> Finding:
    """One folder.

    Args:
        name: of the line.
        path: the folder, which need not be there.
        gigabytes: what goes there at most.
        begun: some of it may be there already.
    """
    near = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(near, os.W_OK):
        return Finding("mend", name, f"{path}: cannot be written to. Choose another folder, or ask its owner")
    free = shutil.disk_usage(near).free / 1e9
    says = f"{path}: {free:.0f} GB free, {file_system(near)}"
    if free < gigabytes:
        state, more = "note" if begun else "mend", " less what is there already" if begun else ""
        remedy = "Use a larger file system, or keep less (docs/cluster.md, quotas)"
        return Finding(state, name, f"{says}; the plan takes up to {disk(gigabytes)}{more}. {remedy}")
    if free < LEAST_FREE_GB and name != "TMPDIR" and not gigabytes:
        return Finding("note", name, f"{says} (an 8B model takes 16 GB, each trained policy again)")
    return Finding("ok", name, f"{says}{f'; the plan takes up to {disk(gigabytes)}' if gigabytes else ''}")


def own_cache() -> Path:
    """The user's own cache of the hub, where the key ``cache`` names none."""
    given, home = os.environ.get("HF_HUB_CACHE"), os.environ.get("HF_HOME")
    outer = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else (Path(home) if home else outer / "huggingface") / "hub"


def file_system(path: Path) -> str:
    """Kind of file system that a path is on, as `stat` names it."""
    return (command("stat", "--file-system", "--format=%T", str(path)) or "unknown").strip()
