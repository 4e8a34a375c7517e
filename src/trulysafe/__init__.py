"""trulysafe: two safety-alignment methods as a workflow and as TRL trainers.

Names are resolved on first use, so that ``import trulysafe`` loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "AdaptiveDPOTrainer": "trulysafe.trainers.preference",
    "ConfidenceDPOTrainer": "trulysafe.trainers.preference",
    "HybridReward": "trulysafe.reward.model",
    "Method": "trulysafe.methods.method",
    "PreferenceTrainer": "trulysafe.trainers.preference",
    "confidence_dpo_loss": "trulysafe.methods.losses",
    "dpo_margin": "trulysafe.methods.losses",
    "evaluate_reward": "trulysafe.reward.evaluate",
    "extract": "trulysafe.models.representations",
    "fit_hybrid_reward": "trulysafe.reward.fit",
    "interval": "trulysafe.stats.intervals",
    "label_confidence": "trulysafe.methods.confidence",
    "message_mask": "trulysafe.methods.masks",
    "paired_difference": "trulysafe.stats.comparisons",
    "preference_loss": "trulysafe.methods.losses",
}
__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'trulysafe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
