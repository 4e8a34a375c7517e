"""Configuration files that are laid over each other."""

import pytest

from trulysafe.common.errors import UserError
from trulysafe.config.files import raw_configuration


def test_configuration_files_are_laid_over_each_other(tmp_path):
    texts = {
        "base": "models: {tiny: {source: train}}\nmethods: {dpo: {beta: 0.1}, ama: {}}",
        "one": "methods: {dpo: {beta: 0.2}, ama: null}",
        "two": "scenario: two",
    }
    files = [tmp_path / f"{name}.yaml" for name in texts]
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text, encoding="utf-8")
    expected = {
        "models": {"tiny": {"source": "train"}},
        "methods": {"dpo": {"beta": 0.2}, "ama": None},
        "scenario": "two",
    }
    assert raw_configuration(files) == expected
    assert raw_configuration(files[1:], demo=files[0]) == expected
    with pytest.raises(UserError, match=r"absent.yaml: cannot be read"):
        raw_configuration([files[0], tmp_path / "absent.yaml"])
