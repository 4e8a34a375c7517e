"""Sentences about the parts of a run that stand behind its numbers: labeller, judge, reward, pairs."""

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
    """Say how good the fitted parts are on held-out data (name -> ``metrics.json``), and what was dropped while pairs
    were built (name -> notes of the pair stage)."""
    classifiers = (("Risk labeller", labellers), ("Judge", judges))
    return [
        *(_reward(name, _read(path)) for name, path in rewards.items()),
        *(line for what, of in classifiers for name in of for line in _classifier(f"{what} {name}", _read(of[name]))),
        *(_pairs(name, notes) for name, notes in pairs.items()),
    ]


def _reward(name: str, metrics: Mapping[str, Mapping[str, float]]) -> str:
    per_class = ", ".join(f"{risk} {scores['soft']:.2f}" for risk, scores in metrics.items() if risk != "all")
    overall = metrics["all"]
    return (
        f"Reward {name}: ranks {overall['soft']:.2f} of {overall['n']} held-out pairs right ({per_class}); both signs "
        f"right {overall['true']:.2f}; AUC {overall['auc']:.2f}; Brier score {overall['brier']:.3f}."
    )


def _classifier(name: str, metrics: Mapping[str, Any]) -> Iterator[str]:
    """A sentence on each part that was tested; metrics are of one part, or of several by name."""
    parts = {name: metrics} if "scores" in metrics else {f"{name} ({part})": of for part, of in metrics.items()}
    for part, tested in parts.items():
        if not isinstance(tested, Mapping) or "scores" not in tested:
            continue
        chosen, baseline = (tested["scores"][tested[which]] for which in ("chosen", "baseline"))
        twice = tested.get("label_agreement", {})
        said = f"{part}: macro-F1 {chosen['macro_f1']:.2f}, accuracy {chosen['accuracy']:.2f}"
        said += f", kappa {chosen['kappa']:.2f} on {chosen['n']} held-out rows"
        said += f" (words alone: {baseline['macro_f1']:.2f})." if tested["baseline"] == "words" else "."
        if "as_judged" in tested["scores"]:
            said += f" As the safety figures count: kappa {tested['scores']['as_judged']['kappa']:.2f}."
        if "unparsed" in tested:
            said += f" Without a readable answer: {tested['unparsed']}."
        if "macro_f1" in twice:
            said += f" {twice['disagreeing']} of the {twice['prompts']} prompts that were labelled more than once "
            said += f"have different labels; one such label predicts another with macro-F1 {twice['macro_f1']:.2f}."
        yield said


def _pairs(name: str, notes: Mapping[str, Any]) -> str:
    kept = ", ".join(f"{risk} {count}" for risk, count in sorted(notes["pairs"].items()))
    lost = "; ".join(f"{reason}: {sum(counts.values())}" for reason, counts in sorted(notes["dropped"].items()))
    return f"Pairs {name}: {kept or 'none'}. Dropped: {lost or 'none'}."


def _read(path: Path | str) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))
