"""A run as its report reads it: every frame is read once, when a table or a figure first asks for it; and its arms:
what they are called, what they start from. Their colours: :mod:`trulysafe.report.style`."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trulysafe.common.csv_files import read_csv
from trulysafe.common.schema import read_table
from trulysafe.evaluate.told import reflection_rows
from trulysafe.workflow.provenance import read_notes

Arms = Mapping[str, Mapping[str, Any]]
"""Experiment -> ``label``, ``group``, ``base``, ``start`` (:attr:`trulysafe.plan.report.Report.arms`); in order."""


def label_of(arms: Arms, name: str) -> str:
    """Label of an arm, or its name."""
    return str(arms.get(name, {}).get("label") or name)


def bases_of(arms: Arms) -> list[str]:
    """The untrained models that arms name as their ``base``, each once."""
    return list(dict.fromkeys(str(about["base"]) for about in arms.values() if about.get("base")))


def in_order(rows: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """Rows of the arms, in their order, with their ``label``; rows of one arm stay in their order."""
    place = {name: number for number, name in enumerate(arms)}
    found = rows[rows["experiment"].isin(list(arms))]
    found = found.sort_values("experiment", key=lambda names: names.map(place), kind="stable")
    return found.assign(label=[label_of(arms, name) for name in found["experiment"]])


def at_last_step(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of each experiment at its last step."""
    return rows[rows["step"] == rows.groupby("experiment")["step"].transform("max")]


class Tested(NamedTuple):
    """A labeller's or judge's metrics and its held-out rows: prompt_id, label, and the classes by feature set, reviewer
    or whatever stands beside them."""

    name: str
    metrics: dict[str, Any]
    held_out: pd.DataFrame


def labelled_by(rows: pd.DataFrame) -> pd.Series:
    """What predicted the labels of each row (columns ``by`` and ``used``), in words; the one in use is marked."""
    return rows["by"].str.replace("_", " ") + rows["used"].map({True: ", used", False: ""})


def read_json(path: Path | str) -> dict[str, Any]:
    """What a file of JSON holds."""
    return dict(json.loads(Path(path).read_text(encoding="utf-8")))


def _tested(name: str, metrics: dict[str, Any], folder: Path) -> Tested:
    rows = pd.read_csv(folder / "held_out.csv", keep_default_na=False, dtype=str)  # a class "none" must stay a text
    return Tested(name, metrics, rows)


def _frame(name: str, **options: Any) -> cached_property[pd.DataFrame]:
    """The CSV that the input ``name`` gives, or no rows."""
    return cached_property(lambda run: next((read_csv(path, **options) for path in run.given(name)), pd.DataFrame()))


def _frame_per_reward(name: str) -> cached_property[dict[str, pd.DataFrame]]:
    """The CSVs of an input by what is added to file names: the name of the reward, nothing if there is one alone."""

    def read(run: "Run") -> dict[str, pd.DataFrame]:
        several = len(run.given(name)) > 1
        return {f"_{path.parent.name}" if several else "": read_csv(path) for path in run.given(name)}

    return cached_property(read)


class Run:
    """What a run measured. Frames are empty, and mappings and lists as well, where the run has none of it.

    Args:
        inputs: name -> path or paths, as a rule declares them; a name is that of the attribute below.
        params: ``arms`` (:attr:`trulysafe.plan.report.Report.arms`), and where there are any, ``sweeps``,
            ``calibration``, ``published``, ``published_names``, ``benchmarks`` and ``labelled_pools``; others are not
            read.
    """

    contrasts = _frame("contrasts")
    """From :func:`trulysafe.evaluate.contrasts.contrast_rows`."""
    matched_safety = _frame("matched_safety")
    """From :func:`trulysafe.evaluate.frontiers.matched_safety`."""
    categories = _frame("categories")
    """From :func:`trulysafe.evaluate.categories.category_rows`."""
    judge_agreement = _frame("judge_agreement")
    """From :func:`trulysafe.evaluate.contrasts.judge_agreement`."""
    people = _frame("people")
    """From :func:`trulysafe.evaluate.people.people_rows`."""
    judges_on_labels = _frame("judges_on_labels")
    """From :func:`trulysafe.evaluate.people.between_rows`."""
    ablations = _frame("ablations")
    """From :func:`trulysafe.evaluate.contrasts.ablation_rows`."""
    reward_ablations = _frame("reward_ablations")
    """From :func:`trulysafe.reward.ablations.reward_ablation_rows`."""
    drift = _frame("drift")
    """From :func:`trulysafe.drift.measures.drift_rows`."""
    kept_tokens = _frame("kept_tokens", na_values=[])
    """From :func:`trulysafe.reward.kept_tokens.kept_tokens`; a token may be the text ``nan`` or white space alone."""
    mask_scores = _frame("mask_scores")
    """From :func:`trulysafe.reward.mask_scores.mask_scores`."""
    layer_accuracy = _frame_per_reward("layer_accuracy")
    """Columns layer (1..L, or 0 for the hybrid over all layers), risk, accuracy, n, ci_low, ci_high."""
    layer_components = _frame_per_reward("layer_components")
    """One row per response and layer: columns layer, label (``safe`` or ``unsafe``), pc1, pc2."""
    layer_divergence = _frame_per_reward("layer_divergence")
    """Columns layer, kl_safe_unsafe, kl_unsafe_safe (nats)."""

    def __init__(self, inputs: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        self._inputs, known = dict(inputs.items()), dict(params.items())
        self.arms: Arms = known["arms"]
        self.sweeps: Mapping[str, Mapping[str, Any]] = known.get("sweeps") or {}
        """Name -> ``label`` of the axis and ``points`` (experiment -> value)."""
        self.calibration: Mapping[str, Mapping[str, Any]] = known.get("calibration") or {}
        """Name -> fields of :class:`trulysafe.config.tables.evaluation.PublishedScore` and the metric compared."""
        self.published: str | Path | None = known.get("published")
        """Folder of the published numbers."""
        self.published_names: Mapping[str, Mapping[str, Any]] = known.get("published_names") or {}
        """Our ``arms`` and ``benchmarks`` in the paper (:attr:`trulysafe.plan.report.Report.published_names`)."""
        self.benchmarks: Mapping[str, Mapping[str, Any]] = known.get("benchmarks") or {}
        """Name -> ``axis``, ``purpose``, main ``judge``, ``task`` (:attr:`trulysafe.plan.report.Report.benchmarks`)."""
        self._labeller_of: Mapping[str, str] = known.get("labelled_pools") or {}

    def given(self, name: str) -> list[Path]:
        """Paths of an input, none where the run has none of it."""
        paths = self._inputs.get(name, [])
        return [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Table of schema ``metrics`` with summary rows; every run has it."""
        return read_table(self.given("metrics")[0], "metrics")

    @cached_property
    def log(self) -> pd.DataFrame:
        """Training log: columns experiment, seed, step, name, value. Input: ``policies``, folders of training jobs."""
        logs = [read_csv(folder / "log.csv") for folder in self.given("policies")]
        return pd.concat(logs, ignore_index=True) if logs else pd.DataFrame()

    @cached_property
    def pairwise(self) -> pd.DataFrame:
        """From :func:`trulysafe.evaluate.pairwise.pairwise_row`, a row per comparison. Input: a file for each."""
        found = [read_csv(path) for path in self.given("pairwise")]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame()

    @cached_property
    def labellers(self) -> list[Tested]:
        """Risk labellers that were tested. Input: their artefact folders."""
        found = ((path, read_json(path / "metrics.json")) for path in self.given("labellers"))
        return [_tested(path.name, about, path) for path, about in found if "scores" in about]

    @cached_property
    def synthesised(self) -> pd.DataFrame:
        """Columns dataset, family and the counts that were noted when a data set's prompts were written
        (:data:`trulysafe.synthesis.synthesise.YIELDS`). Input: the tables of synthesised data sets."""
        noted = ((path.stem, read_notes(path).get("yields", {})) for path in self.given("synthesised"))
        return pd.DataFrame(
            [{"dataset": name, "family": family, **counts} for name, of in noted for family, counts in of.items()]
        )

    @cached_property
    def reflections(self) -> pd.DataFrame:
        """From :func:`trulysafe.evaluate.told.reflection_rows`. Input: answers of arms that retrieve or reflect."""
        columns = ["experiment", "benchmark", "risk", "meta"]
        found = [read_table(path, "answers")[columns] for path in self.given("reflections")]
        return reflection_rows(pd.concat(found, ignore_index=True)) if found else pd.DataFrame()

    @cached_property
    def fitted_judges(self) -> list[Tested]:
        """Classifiers of fitted judges, named ``<judge>/verdicts`` and ``<judge>/safety``. Input: their folders."""
        found = {path: read_json(path / "metrics.json") for path in self.given("fitted_judges")}
        parts = ((path, part, about) for path, of_judge in found.items() for part, about in of_judge.items())
        return [_tested(f"{path.name}/{part}", about, path / part) for path, part, about in parts]

    @cached_property
    def labelled_pools(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Pool -> its labeller, and the agreement with known classes that was noted when its prompts were labelled."""
        pools = zip(self._labeller_of.items(), self.given("labelled_pools"), strict=True)
        return {name: (labeller, read_notes(path).get("agreement_with_known", {})) for (name, labeller), path in pools}

    @cached_property
    def groups(self) -> dict[str, Arms]:
        """Measured arms per group with their base models, in order, by what is added to file names: nothing for
        ``main``."""
        measured = {name: about for name, about in self.arms.items() if name in set(self.metrics["experiment"])}
        found: dict[str, dict[str, Any]] = {}
        for name, about in measured.items():
            group = about.get("group") or "main"
            found.setdefault("" if group == "main" else f"_{group}", {})[name] = about
        return {
            group: {name: about for name, about in measured.items() if name in members or name in bases_of(members)}
            for group, members in found.items()
        }
