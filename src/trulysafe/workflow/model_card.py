"""Model cards: the ``README.md`` beside each trained policy, with a header that the Hugging Face hub reads.

A card follows from the configuration, the drawn mix and the provenance id, so it is the same in every run. It is no
result: nothing reads it, and what it says reruns nothing. Nothing here reaches the network.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from trulysafe.common.files import written_whole
from trulysafe.methods.method import Method
from trulysafe.methods.words import citations, method_words, short_name

CARD_FILE = "README.md"
TEMPLATE = Path(__file__).with_suffix(".md")
_LICENSE = ("license", "license_name", "license_link")


def write_cards(
    folder: Path, run: Mapping[str, Any], method: Method, mix: pd.DataFrame, about: Mapping[str, Any], **where: str
) -> list[Path]:
    """Write a card into every folder ``step<k>`` of a trained run, in place of one that a library left there.

    Args:
        folder: of the run's policies.
        run: ``experiment``, ``seed`` and ``training`` (:meth:`trulysafe.plan.train.Train.runs`).
        method: as it was trained.
        mix: table of schema ``mix``, from which the run's draw is counted.
        about: :meth:`trulysafe.plan.train.Train.card`.
        where: ``job`` and ``provenance``, the training job and its provenance id.

    Returns the paths.
    """
    drawn, training = mix[mix["draw"] == run["seed"]], run["training"]
    counts = drawn.groupby("risk")["flipped"].agg(pairs="size", flipped="sum").reset_index()
    given = method.model_dump(exclude_defaults=True)
    facts = {
        **about,
        **where,
        "experiment": run["experiment"],
        "seed": run["seed"],
        "steps": training["steps"],
        "adapter": bool(training["lora"]),
        "method": f"`{about['method']}`: {short_name(method)}.",
        "sentences": method_words(method),
        "options": _yaml(given),
        "counts": counts.to_dict("records"),
        "pairs": int(counts["pairs"].sum()),
        "flipped": int(counts["flipped"].sum()),
        "training": _yaml(training),
        "citation": "\n\n".join(citations(method, reranked=about["reranked"], quotas=about["rule"] != "random")),
    }
    header = _header(facts, method)
    snapshots = sorted(folder.glob("step*"), key=lambda path: int(path.name.removeprefix("step")))
    return [_write(path, header, {**facts, "step": int(path.name.removeprefix("step"))}) for path in snapshots]


def _write(folder: Path, header: Mapping[str, Any], facts: Mapping[str, Any]) -> Path:
    from huggingface_hub import ModelCard, ModelCardData

    license = header.get("license_name") or header.get("license")
    card = ModelCard.from_template(ModelCardData(**header), str(TEMPLATE), license=license, **facts)
    with written_whole(folder / CARD_FILE) as private:  # another name: what lies there may be a link to another file
        text = re.sub(r"\n{3,}", "\n\n", card.content).strip("\n")
        private.write_text(f"{text}\n", encoding="utf-8", newline="\n")
    return folder / CARD_FILE


def _header(facts: Mapping[str, Any], method: Method) -> dict[str, Any]:
    """Metadata by the hub's names; what is unknown is left out."""
    papers = {"2503.10093": "deng2025rbrm", "2502.11555": "tan2025equilibrate", "2305.18290": "rafailov2023direct"}
    cited = [f"arxiv:{number}" for number, key in papers.items() if key in facts["citation"]]
    model = facts["model"]
    found = {
        "base_model": model["repo"],
        "base_model_relation": ("adapter" if facts["adapter"] else "finetune") if model["repo"] else None,
        "library_name": "peft" if facts["adapter"] else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["trulysafe", "trl", *(["dpo"] if method.loss == "sigmoid" else []), "safety", *cited],
        "datasets": facts["hub_datasets"],
        **_license_of(model),
    }
    return {key: value for key, value in found.items() if value}


def _license_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """License of a base model, from the header of its own card: in its folder, or in the hub's cache."""
    from huggingface_hub import ModelCard, try_to_load_from_cache

    path: Any = Path(model["folder"]) / CARD_FILE if model["folder"] else None
    if model["repo"]:
        path = try_to_load_from_cache(model["repo"], CARD_FILE, revision=model["revision"])
    if not isinstance(path, str | Path) or not Path(path).is_file():
        return {}
    try:
        header = ModelCard.load(path, ignore_metadata_errors=True).data.to_dict()
    except (OSError, ValueError, yaml.YAMLError):  # no header that can be read
        return {}
    return {key: header[key] for key in _LICENSE if header.get(key)}


def _yaml(options: Mapping[str, Any]) -> str:
    """Options as YAML, those without a value left out."""
    kept = _given(options)
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True).strip() if kept else "{}  # none"


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    parts = {key: _given(value) if isinstance(value, Mapping) else value for key, value in options.items()}
    return {key: value for key, value in parts.items() if value not in (None, {}, [])}
