"""Risk labellers (FDC, Equilibrate RLHF): which kind of harm does a prompt carry, EHD, IHD or MHD?

A labeller has a fit, where it needs one, and a function that fills the empty ``risk`` of a table. What a fit writes is its artefact,
a folder whose ``labeller.json`` names the kind. To add a labeller, write the two functions and enter them in ``LABELLERS``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from trulysafe.classifier.fit_and_test import fit_and_test, save_tested, score
from trulysafe.classifier.text_classifier import TextClassifier
from trulysafe.common.errors import UserError, not_accepted
from trulysafe.common.schema import HARMFUL_RISKS, RISKS, UNPARSED
from trulysafe.label import llm_labeller
from trulysafe.llm.client import Client

OPTIONS = {
    "released": (),
    "classifier": ("classes", "features", "strengths", "test_share"),
    "llm": ("attempts", "rows", "test_share"),
}
"""Options of each kind."""


class Labeller(NamedTuple):
    """How to fit a labeller on labelled prompts, if it is fitted, and how to label a table with it.

    Both take the client of the language model, which only ``llm`` asks.
    """

    label: Callable[[pd.DataFrame, Path | None, Client | None], pd.DataFrame]
    fit: Callable[[pd.DataFrame, Path, Mapping[str, Any], Client | None], dict[str, Any]] | None = None


def validate(kind: str, options: Mapping[str, Any]) -> None:
    """Check a stanza's kind and the names of its options.

    Raises:
        UserError: one of them does not exist.
    """
    if kind not in LABELLERS:
        raise not_accepted("labeller `kind`", kind, LABELLERS)
    for option in options:
        if option not in OPTIONS[kind]:
            raise not_accepted(f"labeller of kind {kind!r}, option", option, OPTIONS[kind])


def fit(
    labelled: pd.DataFrame,
    out: Path | str,
    options: Mapping[str, Any] | None = None,
    kind: str = "classifier",
    client: Client | None = None,
) -> dict[str, Any]:
    """Fit a labeller (or, where it is not fitted, test it) and write its artefact.

    Args:
        labelled: prompts with their ``risk``; rows without one are left out. A prompt may occur with several labels. A labeller of kind
            ``llm`` does without: it is then not tested.
        out: folder of the artefact: ``labeller.json``, ``metrics.json``, ``held_out.csv`` and the classifier.
        options: of ``classifier``: ``classes`` (labels to fit on; all), ``features``, ``strengths`` and ``test_share`` of
            :func:`trulysafe.classifier.fit_and_test.fit_and_test`; of ``llm``: see :func:`trulysafe.label.llm_labeller.test`.
        kind: a key of ``LABELLERS``.
        client: the language model that a labeller of kind ``llm`` asks.

    Returns:
        The metrics: scores on held-out prompts per feature set with confusion matrix, and ``label_agreement``, what can be expected
        at best, since the released labels contradict each other on prompts that were labelled twice.
    """
    validate(kind, options or {})
    fit_kind, folder = LABELLERS[kind].fit, Path(out)
    if fit_kind is None:
        raise UserError(f"labeller of kind {kind!r} is not fitted; its labels come with the data.")
    folder.mkdir(parents=True, exist_ok=True)
    metrics = fit_kind(labelled, folder, options or {}, client)
    for name, content in (("labeller", {"kind": kind, "options": dict(options or {})}), ("metrics", metrics)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return metrics


def label(frame: pd.DataFrame, artefact: Path | str | None = None, client: Client | None = None) -> pd.DataFrame:
    """Fill the empty ``risk`` of a table that has prompts; classes that the data brought are kept.

    Args:
        frame: table with the columns ``prompt``, ``risk`` and ``meta``. Where ``meta.harmful`` is true the class is chosen among the
            harmful ones.
        artefact: what :func:`fit` wrote; without one the labels must come with the data.
        client: the language model that a labeller of kind ``llm`` asks.

    Returns:
        The table with every ``risk`` filled; ``meta.risk_from`` names the labeller of the rows that it filled. What a labeller of kind
        ``llm`` says without its being readable is of class ``unparsed``.

    Raises:
        UserError: no artefact and rows without a class, or a folder that holds no labeller.
    """
    if artefact is None:
        return LABELLERS["released"].label(frame, None, None)
    try:
        kind = json.loads((Path(artefact) / "labeller.json").read_text(encoding="utf-8"))["kind"]
    except FileNotFoundError as error:
        raise UserError(f"{artefact}: no labeller (labeller.json is missing). Rerun the rule that fits it.") from error
    return LABELLERS[kind].label(frame, Path(artefact), client)


def agreement(first: Sequence[str], second: Sequence[str]) -> dict[str, Any]:
    """Agreement of two labellers on the same prompts: n, share of equal labels and Cohen's kappa."""
    from sklearn.metrics import cohen_kappa_score

    same = [a == b for a, b in zip(first, second, strict=True)]
    if not same:
        return {"n": 0, "agreement": float("nan"), "kappa": float("nan")}
    # kappa is undefined where both labellers know one class only
    kappa = float(cohen_kappa_score(first, second)) if len({*first, *second}) > 1 else float("nan")
    return {"n": len(same), "agreement": sum(same) / len(same), "kappa": kappa}


def label_agreement(labelled: pd.DataFrame) -> dict[str, Any]:
    """How well one released label predicts another of the same prompt: the ceiling of every labeller that sees prompts alone.

    Returns:
        ``prompts`` labelled more than once, of these ``disagreeing``; over all ordered pairs of their labels ``n``, ``agreement`` and
        ``kappa``, and ``macro_f1`` and ``per_class`` as of a labeller. Only the counts where no prompt is labelled twice.
    """
    several = [risks for risks in labelled.groupby("prompt_id")["risk"].agg(list) if len(risks) > 1]
    counts = {"prompts": len(several), "disagreeing": sum(len(set(risks)) > 1 for risks in several)}
    pairs = [pair for risks in several for pair in permutations(risks, 2)]
    if not pairs:
        return counts
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    scored = score(first, second)
    return {**counts, **agreement(first, second), "macro_f1": scored["macro_f1"], "per_class": scored["per_class"]}


def _fit_classifier(
    labelled: pd.DataFrame, folder: Path, options: Mapping[str, Any], client: Client | None
) -> dict[str, Any]:
    classes = options.get("classes") or [risk for risk in RISKS if risk not in (UNPARSED, "")]
    for risk in classes:
        if risk not in RISKS:
            raise not_accepted("labeller of kind 'classifier', option `classes`", risk, RISKS)
    rows = labelled[labelled["risk"].isin(classes)]
    how = {name: value for name, value in options.items() if name != "classes"}
    prompts = rows["prompt"].tolist()
    tested = fit_and_test(prompts, prompts, rows["risk"].tolist(), where="labeller of kind 'classifier'", **how)
    save_tested(tested, folder)
    return {**tested.metrics, **_about(rows)}


def _test_llm(
    labelled: pd.DataFrame, folder: Path, options: Mapping[str, Any], client: Client | None
) -> dict[str, Any]:
    if labelled.empty:
        return {}
    if client is None:
        raise UserError("labeller of kind 'llm': no client was given. Open one with trulysafe.llm.opening.open_client.")
    return {**llm_labeller.test(labelled, folder, client, options), **_about(labelled)}


def _about(rows: pd.DataFrame) -> dict[str, Any]:
    counts = {str(risk): int(count) for risk, count in rows["risk"].value_counts().sort_index().items()}
    return {"labels": counts, "label_agreement": label_agreement(rows)}


def _label_by_classifier(frame: pd.DataFrame, artefact: Path | None, client: Client | None) -> pd.DataFrame:
    if artefact is None:
        raise UserError("labeller of kind 'classifier': no artefact was given. Fit the labeller first.")
    classifier = TextClassifier.load(artefact)
    empty, harmful = (frame["risk"] == "").to_numpy(), _known_harmful(frame)
    labelled = frame.copy()
    for among, rows in ((HARMFUL_RISKS, empty & harmful), (None, empty & ~harmful)):
        if rows.any():
            labelled.loc[rows, "risk"] = classifier.predict(frame.loc[rows, "prompt"].tolist(), among)
    return _marked(labelled, empty, "classifier")


def _label_by_llm(frame: pd.DataFrame, artefact: Path | None, client: Client | None) -> pd.DataFrame:
    if artefact is None:
        raise UserError("labeller of kind 'llm': no artefact was given. Test the labeller first.")
    options = json.loads((artefact / "labeller.json").read_text(encoding="utf-8"))["options"]
    empty, harmful = (frame["risk"] == "").to_numpy(), _known_harmful(frame)
    labelled = frame.copy()
    labelled.loc[empty, "risk"] = llm_labeller.ask(
        frame.loc[empty, "prompt"].tolist(), harmful[empty].tolist(), client, options
    )[0]
    return _marked(labelled, empty, "llm")


def _known_harmful(frame: pd.DataFrame) -> np.ndarray:
    return np.array([json.loads(meta).get("harmful") is True for meta in frame["meta"]], dtype=bool)


def _marked(labelled: pd.DataFrame, filled: np.ndarray, kind: str) -> pd.DataFrame:
    """Note in ``meta`` who chose the class of the rows that were filled."""
    facts = [json.loads(meta) for meta in labelled["meta"]]
    marked = [fact | ({"risk_from": kind} if was_empty else {}) for fact, was_empty in zip(facts, filled, strict=True)]
    labelled["meta"] = [json.dumps(fact, sort_keys=True, ensure_ascii=False) for fact in marked]
    return labelled


def _label_released(frame: pd.DataFrame, artefact: Path | None, client: Client | None) -> pd.DataFrame:
    missing = frame["risk"] == ""
    if missing.any():
        example = frame.loc[missing].iloc[0]
        raise UserError(
            f"labeller of kind 'released': {int(missing.sum())} of {len(frame)} prompts carry no risk class, for example "
            f"{example['prompt_id']} of {example['source']}. Use a labeller of kind 'classifier' or 'llm', or set `risk` in the dataset's options."
        )
    return frame


LABELLERS: dict[str, Labeller] = {
    "released": Labeller(_label_released),
    "classifier": Labeller(_label_by_classifier, _fit_classifier),
    "llm": Labeller(_label_by_llm, _test_llm),
}
