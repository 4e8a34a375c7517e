"""Is a file the one that was meant?"""

import hashlib
from pathlib import Path

from trulysafe.common.errors import UserError


def check(path: Path, sha256: str, name: str) -> None:
    """Compare a file with the checksum that the configuration gives.

    Args:
        path: the file.
        sha256: 64 hex digits.
        name: what the error calls the file.

    Raises:
        UserError: it is another.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256.lower():
        raise UserError(
            f"{name} has the SHA-256 {digest}, and {sha256} was asked for. Correct the checksum in the configuration "
            "if the file was changed on purpose; else it is not the one that was meant."
        )
