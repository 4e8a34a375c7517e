"""Interpreter, file systems and access to gated models, as the login node has them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from trulysafe.cluster_check.findings import Finding, command
from trulysafe.cluster_check.profile import Profile

CACHES = ("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "XDG_CACHE_HOME", "TMPDIR")
LOCAL_FILE_SYSTEMS = {"tmpfs", "overlay", "overlayfs", "ramfs", "ext2/ext3", "xfs", "btrfs"}
LEAST_FREE_GB = 50


def python(profile: Profile) -> Iterator[Finding]:
    """Interpreter, build of torch and plugin."""
    here = f"{sys.version.split()[0]} in {sys.prefix}"
    place = file_system(Path(sys.prefix))
    local = place in LOCAL_FILE_SYSTEMS
    yield Finding(
        "note" if local else "ok",
        "Python",
        f"{here} ({place}{'; do the compute nodes see this folder?' if local else ''})",
    )
    torch = metadata.version("torch")
    if torch.endswith("+cpu") and profile.site.gpu_partition:
        yield Finding("note", "torch", f"{torch} uses no GPU: for models above tiny, `make env TORCH=cu130 EXTRA=gpu`")
    else:
        yield Finding("ok", "torch", torch)


def folders() -> Iterator[Finding]:
    """Free space where results and caches go, and whether caches are set and can be written to."""
    for name, path in {
        "results": Path.cwd(),
        **{key: Path(os.environ[key]) for key in CACHES if os.environ.get(key)},
    }.items():
        near = next(parent for parent in (path, *path.parents) if parent.exists())
        free = shutil.disk_usage(near).free // 10**9
        state = (
            "mend" if not os.access(near, os.W_OK) else "note" if free < LEAST_FREE_GB and name != "TMPDIR" else "ok"
        )
        says = "cannot be written to" if state == "mend" else f"{free} GB free, {file_system(near)}"
        yield Finding(
            state,
            name,
            f"{path}: {says}{' (an 8B model takes 16 GB, each trained policy again)' if state == 'note' else ''}",
        )
    if not os.environ.get("HF_HOME"):
        yield Finding(
            "note",
            "HF_HOME",
            "not set, models go to ~/.cache: `export HF_HOME=<large shared folder>` if your home has a quota",
        )


def token() -> Finding:
    """Whether there is a token for gated models; its value is neither read nor shown."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    present = bool(os.environ.get("HF_TOKEN")) or Path(os.environ.get("HF_TOKEN_PATH") or home / "token").is_file()
    says = "a token is there" if present else "no token: Llama and other gated models need one (`hf auth login`)"
    return Finding("ok" if present else "note", "gated models", says)


def file_system(path: Path) -> str:
    """Kind of file system that a path is on, as `stat` names it."""
    return (command("stat", "--file-system", "--format=%T", str(path)) or "unknown").strip()
