"""What a training step costs: kinds of work, and the FLOPs that follow from their tokens.

FLOPs are estimated as usual (Kaplan et al. 2020): 2 N per token of a forward pass, 6 N per token of a training step
(forward and backward), with N the number of parameters without embeddings; attention over the context is left out.
"""

from collections.abc import Mapping
from typing import Any

COST_FILE = "cost.json"
FORWARD, TRAINING = 2, 6
"""FLOPs per parameter and token."""
WORK = {
    "step": TRAINING,
    "critic": TRAINING,
    "mismatched": FORWARD,
    "sampling": FORWARD,
    "judging": FORWARD,
    "reference": FORWARD,
}
"""Kinds of work that run the whole model, and their FLOPs per parameter and token; ``step`` is the training itself,
``critic`` that of PPO's critic, ``mismatched`` the forward pass of KTO's reference point. ``reading`` rewards from the
states of the training forward runs probes alone and is counted by responses."""


def flops_per_step(cost: Mapping[str, Any]) -> dict[str, float]:
    """FLOPs per step by kind of work, from a read ``cost.json``; ``step`` holds those of ``mismatched`` and
    ``critic``."""
    steps, size = max(int(cost["steps"]), 1), float(cost["parameters"])
    found = {kind: factor * size * cost["tokens"].get(kind, 0) / steps for kind, factor in WORK.items()}
    found["step"] += found.pop("mismatched") + found.pop("critic")
    responses = cost["tokens"].get("reading", 0) / steps
    return {**found, "reading": reading_flops(responses, float(cost["layers"]), float(cost["hidden_size"]))}


def reading_flops(responses: float, layers: float, width: float) -> float:
    """FLOPs of reading rewards from states: per response L probes of width D (2 L D) and a gate of L x L (2 L^2)."""
    return responses * (2 * layers * width + 2 * layers**2)
