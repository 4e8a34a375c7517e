"""Check a local model directory by the files in it, without loading anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from trulysafe.config.tables.sources import HubModel

_WEIGHTS = ("*.safetensors", "*.bin")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


def directory_problems(name: str, model: HubModel) -> Iterator[str]:
    """What a directory named under ``models`` lacks: configuration, weights, tokenizer, chat template."""
    folder, where = Path(model.name), f"models.{name}"
    if not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").is_file()
        do = (
            "It holds a LoRA adapter: merge it into its base model (`merge_and_unload`) and save that"
            if adapter
            else ""
        )
        do = do or "Give a directory written by save_pretrained, or set source: hub"
        yield f"{where}.name: {model.name} holds no config.json. {do}."
        return
    if not any(path for pattern in _WEIGHTS for path in folder.glob(pattern)):
        yield f"{where}.name: {model.name} holds no weights (*.safetensors). Save the model with save_pretrained."
    if not any((folder / file).is_file() for file in _TOKENIZER):
        yield f"{where}.name: {model.name} holds no tokenizer. Save it there too: tokenizer.save_pretrained({model.name!r})."
    elif not model.chat_template and not _has_template(folder):
        yield (
            f"{where}.chat_template: missing, and the tokenizer in {model.name} has no template of its own. "
            "Give the path of a Jinja file that ends the assistant's turn with the EOS token (or with end_of_turn), or choose an instruction-tuned model."
        )


def _has_template(folder: Path) -> bool:
    if any((folder / file).is_file() for file in _TEMPLATES) or (folder / "additional_chat_templates").is_dir():
        return True
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and bool(json.loads(settings.read_text(encoding="utf-8")).get("chat_template"))
