"""A synthetic run: verdicts of realistic shape (arms x seeds x steps x prompts, with their effects), and the report's
other inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trulysafe.evaluate.contrasts import contrast_rows
from trulysafe.report.run import Arms, Run
from trulysafe.report.table import Cell

BENCHMARKS = {
    "harmful": {"axis": "safety", "judge": "oracle"},
    "look_alikes": {"axis": "over_refusal", "judge": "oracle"},
    "questions": {"axis": "helpfulness", "judge": "oracle"},
}
ARMS = {
    "base": {"label": "Base model", "group": "main"},
    "arm_0": {"label": "DPO_random & 50%", "group": "main", "base": "base", "start": "base"},
    "arm_1": {"label": "AMA | FDC", "group": "main", "base": "base", "start": "base"},
    "arm_2": {"label": "EHD x2", "group": "amount", "base": "base", "start": "base"},
}
STARTS = dict.fromkeys(("arm_0", "arm_1", "arm_2"), "base")
TIMES = pd.DataFrame({"rule": ["train", "train", "judge"], "seconds": [60.0, 30.5, 4.25]})
PUBLISHED = Path(__file__).parents[2] / "resources/published"
_RISKS = {"harmful": ("EHD", "IHD", "MHD"), "look_alikes": ("look_alike",), "questions": ("general",)}


def run_of(arms: Arms = ARMS, published: Path | None = None, sweeps: Any = None, **measured: Any) -> Run:
    """A run of which nothing is read from files: attribute -> frame."""
    run = Run({}, {"arms": arms, "published": published, "sweeps": sweeps})
    for name, frame in measured.items():
        assert hasattr(Run, name)
        setattr(run, name, frame)
    return run


def texts(shown: pd.DataFrame) -> pd.DataFrame:
    """What is read, with numbers as they are written."""
    return shown.map(lambda cell: str(cell) if isinstance(cell, Cell) else cell)


def verdict_table(arms: int = 4, seeds: int = 3, steps: int = 3, prompts: int = 40, families: int = 8) -> pd.DataFrame:
    """Verdicts of ``arms`` policies per seed and step on ``prompts`` prompts per risk class (schema ``verdicts``).

    Arm k trades safety against over-refusal differently, and both grow with the step. Deterministic.
    """
    rng = np.random.default_rng(7)
    items = [
        (benchmark, risk, f"{risk}-{prompt}", f"{risk}-topic{prompt % families}")
        for benchmark, risks in _RISKS.items()
        for risk in risks
        for prompt in range(prompts)
    ]
    base = pd.DataFrame(items, columns=["benchmark", "risk", "prompt_id", "family"])
    topic = {name: rng.normal(0, 0.5) for name in sorted(base["family"].unique())}
    ease = base["family"].map(topic).to_numpy() + rng.normal(0, 0.7, len(base))
    frames = []
    for arm in range(arms):
        for seed in range(seeds):
            shift = rng.normal(0, 0.3)
            for step in range(steps):
                strength = step / max(steps - 1, 1)
                frames.append(_answers(base, ease, rng, arm, seed, shift, strength).assign(step=20 * step))
    table = pd.concat(frames, ignore_index=True).assign(judge="oracle")
    return table[
        ["experiment", "seed", "step", "benchmark", "judge", "prompt_id", "risk", "family", "verdict", "correct"]
    ]


def _answers(
    base: pd.DataFrame, ease: np.ndarray, rng: np.random.Generator, arm: int, seed: int, shift: float, strength: float
) -> pd.DataFrame:
    harmful, alike = base["benchmark"] == "harmful", base["benchmark"] == "look_alikes"
    hard = base["risk"].map({"EHD": -0.8, "IHD": 0.3, "MHD": 0.0}).fillna(0.0).to_numpy()
    logit = np.where(
        harmful, -1 + hard + (2.0 + 0.4 * arm) * strength, np.where(alike, -4 + (3 - 0.3 * arm) * strength, -5.0)
    )
    refuses = rng.random(len(base)) < 1 / (1 + np.exp(-(logit + ease + shift)))
    verdict = np.where(refuses, np.where(rng.random(len(base)) < 0.2, "safe_completion", "refuses"), "complies")
    noise = rng.random(len(base))
    verdict = np.where(noise < 0.02, "malformed", np.where(noise < 0.04, "mixed", verdict))
    right = (verdict == "complies") & (rng.random(len(base)) < 0.88 - 0.15 * strength)
    correct = pd.Series(right, dtype="boolean").where(base["benchmark"] == "questions")
    return base.assign(experiment=f"arm_{arm}", seed=seed, verdict=verdict, correct=correct)


def verdicts_of_arms() -> pd.DataFrame:
    """Verdicts of ``ARMS``: three trained ones, and the base that they start from."""
    found = verdict_table(arms=3)
    base = found[(found["experiment"] == "arm_0") & (found["step"] == 0) & (found["seed"] == 0)].assign(
        experiment="base"
    )
    return pd.concat([base, found[found["step"] > 0]], ignore_index=True)


def contrasts_of_arms(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Three declared contrasts between them, one of them exploratory."""
    declared = [
        {"name": metric, "a": "arm_1", "b": "arm_0", "metric": metric, "primary": metric != "safe"}
        for metric in ("safe", "over_refusal")
    ]
    return contrast_rows(
        verdicts, [*declared, {"name": "worse", "a": "arm_0", "b": "base", "metric": "over_refusal"}], BENCHMARKS
    )


def layer_tables(layers: int = 3, responses: int = 12) -> dict[str, pd.DataFrame]:
    """Accuracy, principal components and divergence of every layer, as the reward stage writes them."""
    rng = np.random.default_rng(0)
    accuracy = [
        {
            "layer": layer,
            "risk": risk,
            "accuracy": 0.6 + layer / 20,
            "n": 50,
            "ci_low": 0.5 + layer / 20,
            "ci_high": 0.7 + layer / 20,
        }
        for layer in range(layers + 1)
        for risk in ("all", "EHD", "other")
    ]
    points = [
        {"layer": layer, "label": label, "pc1": x, "pc2": y}
        for layer in range(1, layers + 1)
        for shift, label in enumerate(("safe", "unsafe"))
        for x, y in rng.normal(shift, 1, (responses, 2))
    ]
    layer_numbers = range(1, layers + 1)
    divergence = pd.DataFrame(
        {"layer": layer_numbers, "kl_safe_unsafe": 0.4, "kl_unsafe_safe": [-0.01, *[np.nan] * (layers - 1)]}
    )
    return {"accuracy": pd.DataFrame(accuracy), "components": pd.DataFrame(points), "divergence": divergence}


def training_log() -> pd.DataFrame:
    """The training log of two arms."""
    return pd.DataFrame(
        [
            {"experiment": arm, "seed": seed, "step": step, "name": name, "value": step / 100 + seed / 50}
            for arm in ("arm_0", "arm_1")
            for seed in range(3)
            for step in (5, 10, 15)
            for name in ("loss", "confidence", "grad_norm")
        ]
    )
