"""All tables and all figures of a run, each with one call; what a run has not made is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from trulysafe.report import figures, layer_figures, training_figures
from trulysafe.report.ablations import ablation_text, joined
from trulysafe.report.arms import Arms, bases_of
from trulysafe.report.captions import CAPTIONS, ablation_caption, main_caption
from trulysafe.report.diversity_table import diversity_tables
from trulysafe.report.drift_figure import drift_text, order_and_distribution
from trulysafe.report.kept_tokens import kept_tokens_figure, write_page
from trulysafe.report.labeller_tables import labeller_tables
from trulysafe.report.layer_figures import LayerTables
from trulysafe.report.plane import plane
from trulysafe.report.published import divergence_rows, divergence_text, published_rows, published_text
from trulysafe.report.tables import contrast_text, judges_text, main_rows, main_text, matched_text, write_tables
from trulysafe.report.training_table import training_rows, training_text

T = TypeVar("T")
Tables = dict[str, tuple[pd.DataFrame, pd.DataFrame]]
"""Name of a table -> the text to read and the numbers behind it."""


def build_tables(
    folder: Path | str,
    *,
    metrics: pd.DataFrame,
    arms: Arms,
    contrasts: pd.DataFrame | None = None,
    matched: pd.DataFrame | None = None,
    judges: pd.DataFrame | None = None,
    published: Path | str | None = None,
    ours: pd.DataFrame | None = None,
    divergence: Mapping[str, pd.DataFrame] | None = None,
    drift: pd.DataFrame | None = None,
    labellers: Mapping[str, Path | str] | None = None,
    labelled_pools: Mapping[str, tuple[str, Mapping[str, Any]]] | None = None,
    ablations: pd.DataFrame | None = None,
    reward_ablations: pd.DataFrame | None = None,
    kept_tokens: pd.DataFrame | None = None,
    log: pd.DataFrame | None = None,
) -> list[Path]:
    """Write the tables of a run into ``folder`` as Markdown, LaTeX, HTML and CSV.

    Args:
        folder: where they go: ``main`` and ``main_<group>`` for other groups of arms, ``contrasts``, ``matched_safety``,
            ``judges``, ``published``, ``divergence``, ``diversity``, ``labellers``, ``labeller_confusion``,
            ``labeller_agreement``, ``ablations``, ``order_and_distribution``, ``training_means``, and the page ``kept_tokens.html``.
        metrics: table of schema ``metrics`` with summary rows.
        arms: experiments to show, in order (:attr:`trulysafe.plan.report.Report.arms`): ``label``, ``group``, ``base`` and ``start``.
        contrasts: from :func:`trulysafe.evaluate.contrasts.contrast_rows`.
        matched: from :func:`trulysafe.evaluate.frontiers.matched_safety`.
        judges: from :func:`trulysafe.evaluate.judge_agreement.judge_agreement`.
        published: folder of the published numbers.
        ours: our runs of the published setting, see :func:`trulysafe.report.published.published_rows`.
        divergence: reward -> columns layer, kl_safe_unsafe, kl_unsafe_safe, from the layer analysis; with several rewards, their names are
            added to that of the table.
        drift: from :func:`trulysafe.drift.measures.drift_rows`.
        labellers: name -> artefact folder of a risk labeller.
        labelled_pools: pool -> its labeller, and the agreement with known classes that was noted when its prompts were labelled.
        ablations: from :func:`trulysafe.evaluate.ablations.ablation_rows`.
        reward_ablations: from :func:`trulysafe.reward.ablations.reward_ablation_rows`, in the same table.
        kept_tokens: from :func:`trulysafe.report.kept_token_rows.kept_tokens`.
        log: training log, columns experiment, seed, step, name, value.

    Returns:
        Paths of all files.
    """
    choices = joined(ablations, reward_ablations)
    measured: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], pd.DataFrame | None]] = {
        "contrasts": (partial(contrast_text, arms=arms), contrasts),
        "matched_safety": (partial(matched_text, arms=arms), matched),
        "judges": (judges_text, judges),
        "ablations": (partial(ablation_text, arms=arms), choices),
        "order_and_distribution": (partial(drift_text, arms=arms), drift),
        "training_means": (training_text, None if log is None else training_rows(log, arms)),
    }
    made: Tables = {
        name: (text(rows), rows) for name, (text, rows) in measured.items() if rows is not None and len(rows)
    }
    made |= diversity_tables(metrics, arms) | labeller_tables(labellers or {}, labelled_pools or {})
    captions = dict(CAPTIONS)
    if "ablations" in made:
        captions["ablations"] = ablation_caption(choices)
    for group, members in _groups(metrics, arms).items():
        rows, name = main_rows(metrics, members), f"main{group}"
        made[name], captions[name] = (main_text(rows), rows), main_caption(rows)
    if published is not None:
        beside = _published_tables(published, ours, _named_apart(divergence or {}))
        made |= beside
        captions |= {name: CAPTIONS["divergence"] for name in beside if name.startswith("divergence")}
    paths = []
    if kept_tokens is not None and len(kept_tokens):
        paths.append(write_page(kept_tokens, Path(folder) / "kept_tokens.html"))
    for name, (text, tidy) in made.items():
        paths += write_tables(Path(folder) / name, text, tidy, captions[name], f"tab:{name}")
    return paths


def _published_tables(
    published: Path | str, ours: pd.DataFrame | None, divergence: Mapping[str, pd.DataFrame | None]
) -> Tables:
    """The papers' numbers with ours beside them; ``divergence`` by what is added to the table's name."""
    numbers = published_rows(published, ours)
    found: Tables = {"published": (published_text(numbers), numbers)}
    for name, of_reward in (divergence or {"": None}).items():
        layers = divergence_rows(published, of_reward)
        found[f"divergence{name}"] = (divergence_text(layers), layers)
    return found


def build_figures(
    folder: Path | str,
    *,
    metrics: pd.DataFrame,
    arms: Arms,
    sweeps: Mapping[str, Mapping[str, Any]] | None = None,
    log: pd.DataFrame | None = None,
    layers: Mapping[str, LayerTables] | None = None,
    drift: pd.DataFrame | None = None,
    kept_tokens: pd.DataFrame | None = None,
) -> list[Path]:
    """Write the figures of a run into ``folder`` as PDF, PNG and CSV.

    Args:
        folder: where they go: ``plane``, ``classes`` and ``training`` (``<name>_<group>`` for other groups of arms),
            ``sweep_<name>``, ``reward_accuracy``, ``layers``, ``order_and_distribution``, ``kept_tokens``.
        metrics: table of schema ``metrics`` with summary rows.
        arms: experiments to draw, in order, as for :func:`build_tables`; groups are drawn apart, each with its base models.
        sweeps: name -> ``label`` of the axis and ``points`` (experiment -> value).
        log: training log, columns experiment, seed, step, name, value.
        layers: reward -> what was measured on its layers; with several rewards, their names are added to those of the files.
        drift: from :func:`trulysafe.drift.measures.drift_rows`.
        kept_tokens: from :func:`trulysafe.report.kept_token_rows.kept_tokens`.

    Returns:
        Paths of all files.
    """
    place, paths = Path(folder), []
    for group, members in _groups(metrics, arms).items():
        paths += figures.classes(metrics, members, place / f"classes{group}")
        if {"test/safety", "test/over_refusal"} <= set(metrics["benchmark"]):
            paths += plane(metrics, members, place / f"plane{group}")
        if log is not None and log["experiment"].isin(list(members)).any():
            paths += training_figures.training_curves(log, members, place / f"training{group}")
    for name, about in (sweeps or {}).items():
        paths += figures.sweep(metrics, about["points"], place / f"sweep_{name}", axis_label=about["label"])
    for name, of_reward in _named_apart(layers or {}).items():
        paths += layer_figures.reward_accuracy(of_reward.accuracy, place / f"reward_accuracy{name}")
        paths += layer_figures.layer_densities(of_reward.components, of_reward.divergence, place / f"layers{name}")
    if drift is not None and len(drift):
        paths += order_and_distribution(drift, arms, place / "order_and_distribution")
    if kept_tokens is not None and len(kept_tokens):
        paths += kept_tokens_figure(kept_tokens, place / "kept_tokens")
    return paths


def _named_apart(of_rewards: Mapping[str, T]) -> dict[str, T]:
    """The same by what is added to file names: nothing where there is one reward."""
    return {f"_{name}" if len(of_rewards) > 1 else "": found for name, found in of_rewards.items()}


def _groups(metrics: pd.DataFrame, arms: Arms) -> dict[str, Arms]:
    """Measured arms per group, their base models first; keys are what is added to file names, nothing for ``main``."""
    measured = {name: about for name, about in arms.items() if name in set(metrics["experiment"])}
    found: dict[str, dict[str, Any]] = {}
    for name, about in measured.items():
        group = about.get("group") or "main"
        found.setdefault("" if group == "main" else f"_{group}", {})[name] = about
    bases = {group: [name for name in bases_of(members) if name in measured] for group, members in found.items()}
    return {group: {**{name: measured[name] for name in bases[group]}, **of} for group, of in found.items()}
