"""Interpreter and access to gated models, as the login node has them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from trulysafe.tools.cluster_check.disk import file_system
from trulysafe.tools.cluster_check.findings import Finding
from trulysafe.tools.cluster_check.profile import Profile

LOCAL_FILE_SYSTEMS = {"tmpfs", "overlay", "overlayfs", "ramfs", "ext2/ext3", "xfs", "btrfs"}


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


def token() -> Finding:
    """Whether there is a token for gated models; its value is neither read nor shown."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    present = bool(os.environ.get("HF_TOKEN")) or Path(os.environ.get("HF_TOKEN_PATH") or home / "token").is_file()
    says = "a token is there" if present else "no token: Llama and other gated models need one (`hf auth login`)"
    return Finding("ok" if present else "note", "gated models", says)
