"""Sentences about the parts of a run that stand behind its numbers: labeller, judge, reward, pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def measured_facts(
    *,
    rewards: Mapping[str, Path | str],
    labellers: Mapping[str, Path | str],
    judges: Mapping[str, Path | str],
    pairs: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """Say how good the fitted parts are on held-out data, and what was dropped while pairs were built.

    Args:
        rewards: name -> ``metrics.json`` of the reward stage.
        labellers: name -> ``metrics.json`` of a fitted labeller.
        judges: name -> ``metrics.json`` of a fitted judge.
        pairs: name -> what the pair stage noted in its manifest.

    Returns:
        One sentence each, for the summary.
    """
    return [
        *(_reward(name, _read(path)) for name, path in rewards.items()),
        *(line for name, path in labellers.items() for line in _classifier("Risk labeller", name, _read(path))),
        *(line for name, path in judges.items() for line in _classifier("Judge", name, _read(path))),
        *(_pairs(name, notes) for name, notes in pairs.items()),
    ]


def _reward(name: str, metrics: Mapping[str, Mapping[str, float]]) -> str:
    per_class = ", ".join(f"{risk} {scores['soft']:.2f}" for risk, scores in metrics.items() if risk != "all")
    overall = metrics["all"]
    return (
        f"Reward {name}: ranks {overall['soft']:.2f} of {overall['n']} held-out pairs right ({per_class}); both signs right {overall['true']:.2f}; "
        f"AUC {overall['auc']:.2f}; calibration error {overall['ece']:.2f}."
    )


def _classifier(what: str, name: str, metrics: Mapping[str, Any]) -> Iterator[str]:
    for part, tested in metrics.items() if "scores" not in metrics else [("", metrics)]:
        if not isinstance(tested, Mapping) or "scores" not in tested:
            continue
        chosen = tested["scores"][tested["chosen"]]
        baseline = tested["scores"][tested["baseline"]]
        yield (
            f"{what} {name}{f' ({part})' if part else ''}: macro-F1 {chosen['macro_f1']:.2f}, accuracy {chosen['accuracy']:.2f} on {chosen['n']} "
            f"held-out rows (words alone: {baseline['macro_f1']:.2f}).{_unparsed(tested)}{_ceiling(tested)}"
        )


def _unparsed(tested: Mapping[str, Any]) -> str:
    return f" Without a readable answer: {tested['unparsed']}." if "unparsed" in tested else ""


def _ceiling(tested: Mapping[str, Any]) -> str:
    twice = tested.get("label_agreement", {})
    if "macro_f1" not in twice:
        return ""
    return (
        f" {twice['disagreeing']} of the {twice['prompts']} prompts that were labelled more than once have different labels; one such label "
        f"predicts another with macro-F1 {twice['macro_f1']:.2f}."
    )


def _pairs(name: str, notes: Mapping[str, Any]) -> str:
    kept = ", ".join(f"{risk} {count}" for risk, count in sorted(notes["pairs"].items()))
    lost = "; ".join(f"{reason}: {sum(counts.values())}" for reason, counts in sorted(notes["dropped"].items()))
    return f"Pairs {name}: {kept}. Dropped: {lost or 'none'}."


def _read(path: Path | str) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))
