"""Risk labellers (FDC, Equilibrate RLHF): which kind of harm does a prompt carry, EHD, IHD or MHD, or none?

What a fit writes is a labeller's artefact, a folder whose ``labeller.json`` names its kind and options. The kinds are
in :mod:`trulysafe.label.labellers`; the one that a labeller is of is loaded, and no other.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.common.files import write_json
from trulysafe.common.kinds import LABELLERS, Options

RELEASED = "released"
"""The kind without an artefact: its labels come with the data."""
Classes = Callable[[list[str], np.ndarray], Sequence[str] | np.ndarray]
"""Prompts, and whether each is known to be harmful (bool, shape [prompts]), to the class of each."""


def fit(
    labelled: pd.DataFrame,
    out: Path | str,
    options: Mapping[str, Any] | Options | None = None,
    kind: str = "classifier",
    client: Any = None,
) -> dict[str, Any]:
    """Fit a labeller, or test one that is not fitted, where its kind knows how, and write its artefact.

    Prompts may occur with several labels, and rows without one are left out; a labeller of kind ``llm`` does without
    any, and is then not tested. The folder gets ``labeller.json``, ``metrics.json``, ``held_out.csv`` and a classifier;
    ``client`` is the language model that it asks (:func:`open_client`). Returns the metrics: scores on held-out prompts
    per feature set with confusion matrix, and ``label_agreement``, what can be expected at best
    (:func:`trulysafe.label.agreement.label_agreement`). UserError: an unknown kind or option, a kind that is not
    fitted, or labels that do not do.
    """
    module, checked, folder = LABELLERS.module(kind), LABELLERS.checked(kind, options or {}), Path(out)
    if kind == RELEASED:
        raise UserError(f"labeller of kind {kind!r} is not fitted: its labels come with the data. Fit another kind.")
    folder.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, Any] = module.fit(labelled, folder, checked, client) if hasattr(module, "fit") else {}
    write_json(folder / "labeller.json", {"kind": kind, "options": checked.model_dump()})
    write_json(folder / "metrics.json", metrics)
    return metrics


def label(frame: pd.DataFrame, artefact: Path | str | None = None, client: Any = None) -> pd.DataFrame:
    """Fill the empty ``risk`` of a table with ``prompt`` and ``meta``; classes that the data brought are kept.

    The class is a harmful one where ``meta.harmful`` is true, and ``unparsed`` where no answer of a language model
    (``client``) can be read; ``meta.risk_from`` names the kind of labeller of the rows that were filled. Without an
    artefact, which :func:`fit` wrote, the labels must come with the data. UserError: no artefact and rows without a
    class, or a folder that holds no labeller.
    """
    kind, options = (RELEASED, {}) if artefact is None else _read(Path(artefact))
    checked = LABELLERS.options(kind, options)
    labelled: pd.DataFrame = LABELLERS.module(kind).label(frame, Path(artefact or ""), checked, client)
    return labelled


def filled(frame: pd.DataFrame, kind: str, classes: Classes) -> pd.DataFrame:
    """A copy of the table whose empty ``risk`` are filled; their ``meta.risk_from`` is the kind."""
    facts = [json.loads(meta) for meta in frame["meta"]]
    empty = (frame["risk"] == "").to_numpy()
    harmful = np.array([fact.get("harmful") is True for fact in facts], dtype=bool)
    labelled = frame.copy()
    labelled.loc[empty, "risk"] = classes(frame.loc[empty, "prompt"].tolist(), harmful[empty])
    marked = [fact | ({"risk_from": kind} if new else {}) for fact, new in zip(facts, empty, strict=True)]
    labelled["meta"] = [json.dumps(fact, sort_keys=True, ensure_ascii=False) for fact in marked]
    return labelled


def open_client(kind: str, arguments: Mapping[str, Any]) -> Any:
    """The client that a labeller of a kind asks; the kind's own module opens it, so that it is part of its code."""
    return LABELLERS.module(kind).open_client(**arguments)


def _read(artefact: Path) -> tuple[str, dict[str, Any]]:
    try:
        found = json.loads((artefact / "labeller.json").read_text(encoding="utf-8"))
        return found["kind"], found["options"]
    except FileNotFoundError as error:
        raise UserError(f"{artefact}: no labeller (labeller.json is missing). Rerun the rule that fits it.") from error
    except (ValueError, KeyError, TypeError) as error:
        do = "Delete the folder and rerun the rule that fits it."
        raise UserError(f"{artefact}: labeller.json is damaged ({error}). {do}") from error
