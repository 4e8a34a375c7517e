"""The typed configuration: component tables that experiments refer to by name.

Every field's description is its documentation: ``config/README.md`` is generated from these files. Numbers are read laxly
(YAML takes ``1e-6`` for a text); unknown keys are refused.
"""

from __future__ import annotations

from trulysafe.config.tables.base import Count, FixedRole, Name, Risk, Role, Share, Size, Table
from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.tables.evaluation import (
    Ablation,
    Batching,
    Benchmark,
    Contrast,
    Drift,
    Judge,
    KeptTokens,
    Report,
    RewardAblation,
    Sweep,
)
from trulysafe.config.tables.preferences import Mix, Pairs, PolicyOf, Pool, Reward
from trulysafe.config.tables.sources import (
    Dataset,
    EndpointLlm,
    HubModel,
    Labeller,
    Llm,
    LocalLlm,
    Model,
    Split,
    TrainedModel,
)
from trulysafe.config.tables.training import LAUNCH, Experiment, MethodTable, TokenReward, Training

__all__ = [
    "LAUNCH",
    "Ablation",
    "Batching",
    "Benchmark",
    "Configuration",
    "Contrast",
    "Count",
    "Dataset",
    "Drift",
    "EndpointLlm",
    "Experiment",
    "FixedRole",
    "HubModel",
    "Judge",
    "KeptTokens",
    "Labeller",
    "Llm",
    "LocalLlm",
    "MethodTable",
    "Mix",
    "Model",
    "Name",
    "Pairs",
    "PolicyOf",
    "Pool",
    "Report",
    "Reward",
    "RewardAblation",
    "Risk",
    "Role",
    "Share",
    "Size",
    "Split",
    "Sweep",
    "Table",
    "TokenReward",
    "TrainedModel",
    "Training",
]
