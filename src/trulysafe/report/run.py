"""A run as its report reads it: every frame is read once, when a table or a figure first asks for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trulysafe.common.schema import read_table
from trulysafe.report.arms import Arms, bases_of
from trulysafe.workflow.provenance import read_notes


class Tested(NamedTuple):
    """A labeller's metrics and its held-out rows: prompt_id, label, and the classes by feature set or reviewer."""

    name: str
    metrics: dict[str, Any]
    held_out: pd.DataFrame


class Run:
    """What a run measured. Frames are empty, and mappings and lists as well, where the run has none of it.

    Args:
        inputs: name -> path or paths, as a rule declares them; a name is that of the attribute below.
        params: ``arms``, and where there are any, ``sweeps``, ``published`` and ``labelled_pools``; others are not read.
    """

    def __init__(self, inputs: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        given = ((name, [paths] if isinstance(paths, str | Path) else paths) for name, paths in inputs.items())
        self._paths = {name: [Path(path) for path in paths] for name, paths in given}
        self._params = dict(params.items())
        self.arms: Arms = self._params["arms"]
        """Experiments to show, in order (:attr:`trulysafe.plan.plan.Plan.arms`): ``label``, ``group``, ``base`` and ``start``."""

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Table of schema ``metrics`` with summary rows; every run has it."""
        return read_table(self._paths["metrics"][0], "metrics")

    @cached_property
    def contrasts(self) -> pd.DataFrame:
        """From :func:`trulysafe.evaluate.contrasts.contrast_rows`."""
        return self._csv("contrasts")

    @cached_property
    def matched_safety(self) -> pd.DataFrame:
        """From :func:`trulysafe.evaluate.frontiers.matched_safety`."""
        return self._csv("matched_safety")

    @cached_property
    def judge_agreement(self) -> pd.DataFrame:
        """From :func:`trulysafe.evaluate.judge_agreement.judge_agreement`."""
        return self._csv("judge_agreement")

    @cached_property
    def ablations(self) -> pd.DataFrame:
        """From :func:`trulysafe.evaluate.ablations.ablation_rows`."""
        return self._csv("ablations")

    @cached_property
    def reward_ablations(self) -> pd.DataFrame:
        """From :func:`trulysafe.reward.ablations.reward_ablation_rows`."""
        return self._csv("reward_ablations")

    @cached_property
    def drift(self) -> pd.DataFrame:
        """From :func:`trulysafe.drift.measures.drift_rows`."""
        return self._csv("drift")

    @cached_property
    def kept_tokens(self) -> pd.DataFrame:
        """From :func:`trulysafe.reward.kept_tokens.kept_tokens`; a token may be the text ``nan`` or nothing but white space."""
        return self._csv("kept_tokens", keep_default_na=False)

    @cached_property
    def log(self) -> pd.DataFrame:
        """Training log: columns experiment, seed, step, name, value. Input: ``policies``, folders of training jobs."""
        logs = [pd.read_csv(folder / "log.csv") for folder in self._paths.get("policies", [])]
        return pd.concat(logs, ignore_index=True) if logs else pd.DataFrame()

    @cached_property
    def layer_accuracy(self) -> dict[str, pd.DataFrame]:
        """Per reward, by what is added to file names: columns layer (1..L, or 0 for the hybrid), risk, accuracy, n, ci_low, ci_high."""
        return self._per_reward("layer_accuracy")

    @cached_property
    def layer_components(self) -> dict[str, pd.DataFrame]:
        """Per reward, one row per response and layer: columns layer, label (``safe`` or ``unsafe``), pc1, pc2."""
        return self._per_reward("layer_components")

    @cached_property
    def layer_divergence(self) -> dict[str, pd.DataFrame]:
        """Per reward: columns layer, kl_safe_unsafe, kl_unsafe_safe, nats."""
        return self._per_reward("layer_divergence")

    @cached_property
    def labellers(self) -> list[Tested]:
        """Risk labellers that were tested. Input: their artefact folders."""
        read = {path.name: (path, _json(path / "metrics.json")) for path in self._paths.get("labellers", [])}
        return [
            # a class such as "none" must stay a text
            Tested(name, metrics, pd.read_csv(path / "held_out.csv", keep_default_na=False, dtype=str))
            for name, (path, metrics) in read.items()
            if "scores" in metrics
        ]

    @cached_property
    def labelled_pools(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Pool -> its labeller, and the agreement with known classes that was noted when its prompts were labelled."""
        pools = zip(self._params.get("labelled_pools", {}).items(), self._paths.get("labelled_pools", []), strict=True)
        return {name: (labeller, read_notes(path).get("agreement_with_known", {})) for (name, labeller), path in pools}

    @property
    def sweeps(self) -> Mapping[str, Mapping[str, Any]]:
        """Name -> ``label`` of the axis and ``points`` (experiment -> value)."""
        return self._params.get("sweeps") or {}

    @property
    def published(self) -> Path | None:
        """Folder of the published numbers, where they are shown."""
        folder = self._params.get("published")
        return Path(folder) if folder else None

    @cached_property
    def groups(self) -> dict[str, Arms]:
        """Measured arms per group, their base models first; keys are what is added to file names, nothing for ``main``."""
        measured = {name: about for name, about in self.arms.items() if name in set(self.metrics["experiment"])}
        found: dict[str, dict[str, Any]] = {}
        for name, about in measured.items():
            group = about.get("group") or "main"
            found.setdefault("" if group == "main" else f"_{group}", {})[name] = about
        return {
            group: {**{name: measured[name] for name in bases_of(members) if name in measured}, **members}
            for group, members in found.items()
        }

    def _csv(self, name: str, **options: Any) -> pd.DataFrame:
        paths = self._paths.get(name)
        return pd.read_csv(paths[0], **options) if paths else pd.DataFrame()

    def _per_reward(self, name: str) -> dict[str, pd.DataFrame]:
        """One table per reward, whose name is that of the folder; with one reward alone nothing is added to file names."""
        paths = self._paths.get(name, [])
        return {f"_{path.parent.name}" if len(paths) > 1 else "": pd.read_csv(path) for path in paths}


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
