"""Tables about risk labellers: scores beside the baseline and the ceiling, confusion matrices, agreement between labellers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trulysafe.classifier.fit_and_test import score
from trulysafe.common.schema import RISKS, UNPARSED
from trulysafe.label.agreement import agreement_rows, macro_f1s, paired_statistic
from trulysafe.report.tables import intervals, with_interval
from trulysafe.stats.intervals import interval

Tables = dict[str, tuple[pd.DataFrame, pd.DataFrame]]
RELEASED = "released"


class Tested(NamedTuple):
    """A labeller's metrics and its held-out rows: prompt_id, label, and the classes by feature set or reviewer."""

    name: str
    metrics: dict[str, Any]
    held_out: pd.DataFrame


def labeller_tables(labellers: Mapping[str, Path | str], pools: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Tables:
    """The tables ``labellers``, ``labeller_confusion`` and ``labeller_agreement`` as (text, numbers); what is empty is left out.

    Args:
        labellers: name -> artefact folder; one that was not tested shows in no table of scores.
        pools: pool -> its labeller, and what :func:`trulysafe.label.agreement.agreement_interval` said of known classes.
    """
    tested = [found for name, path in labellers.items() if (found := _read(name, Path(path))) is not None]
    made: Tables = {}
    if tested:
        scores, counts = _scores(tested), _confusion(tested)
        made["labellers"] = (_scores_text(scores), scores)
        made["labeller_confusion"] = (_confusion_text(counts), counts)
    agreement = _agreement(tested, pools)
    if len(agreement):
        made["labeller_agreement"] = (_agreement_text(agreement), agreement)
    return made


def _read(name: str, folder: Path) -> Tested | None:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    if "scores" not in metrics:
        return None
    # a class such as "none" must stay a text
    return Tested(name, metrics, pd.read_csv(folder / "held_out.csv", keep_default_na=False, dtype=str))


def _scores(tested: list[Tested]) -> pd.DataFrame:
    """One row per labeller, by (feature set, reviewer, ceiling) and metric (macro_f1, accuracy, F1 per class, ...): value, limits and n."""
    rows: list[dict[str, Any]] = []
    for name, metrics, held_out in tested:
        families = held_out["prompt_id"].tolist()
        for by in metrics["scores"]:
            true, predicted = held_out["label"].tolist(), held_out[by].tolist()
            macro = paired_statistic(true, predicted, families, macro_f1s)
            right = interval([float(a == b) for a, b in zip(true, predicted, strict=True)], families=families)
            head = {"labeller": name, "by": by, "used": by == metrics["chosen"], "n": len(true)}
            rows += [
                {**head, "metric": metric, "value": found.value, "ci_low": found.low, "ci_high": found.high}
                for metric, found in (("macro_f1", macro), ("accuracy", right))
            ]
            rows += [{**head, **row} for row in _per_class(score(true, predicted)["per_class"])]
            if UNPARSED in metrics and by == metrics["chosen"]:
                rows.append({**head, "metric": UNPARSED, "value": predicted.count(UNPARSED)})
        rows += _ceiling(name, metrics.get("label_agreement", {}))
    columns = ["labeller", "by", "used", "metric", "value", "ci_low", "ci_high", "n"]
    return pd.DataFrame(rows, columns=columns)


def _ceiling(name: str, twice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """How well one released label predicts another; ``n`` counts ordered pairs of labels of one prompt."""
    if "macro_f1" in twice:
        head = {"labeller": name, "by": "another released label", "used": False, "n": twice["n"]}
        yield {**head, "metric": "prompts_labelled_twice", "value": twice["prompts"]}
        yield {**head, "metric": "prompts_labelled_differently", "value": twice["disagreeing"]}
        yield {**head, "metric": "macro_f1", "value": twice["macro_f1"]}
        yield {**head, "metric": "accuracy", "value": twice["agreement"]}
        yield from ({**head, **row} for row in _per_class(twice["per_class"]))


def _per_class(per_class: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for risk in RISKS:
        if risk in per_class and risk != UNPARSED:
            yield {"metric": f"f1_{risk}", "value": per_class[risk]["f1"]}


def _scores_text(scores: pd.DataFrame) -> pd.DataFrame:
    present = set(scores["metric"])
    names = {"macro_f1": "Macro-F1", "accuracy": "Accuracy"} | {f"f1_{risk}": f"F1 {risk}" for risk in RISKS if risk}
    names[UNPARSED] = "Unparsed"
    lines = []
    for (name, by), group in scores.groupby(["labeller", "by"], sort=False):
        cells = {
            row["metric"]: str(int(row["value"]))
            if row["metric"] == UNPARSED
            else with_interval(row["value"], row["ci_low"], row["ci_high"])
            for row in group.to_dict("records")
        }
        used = ", used" if group["used"].iloc[0] else ""
        head = {"Labeller": name, "Classes by": str(by).replace("_", " ") + used, "n": int(group["n"].iloc[0])}
        lines.append(
            {
                **head,
                **{title: cells.get(metric, "") for metric, title in names.items() if metric in present},
            }
        )
    return pd.DataFrame(lines)


def _confusion(tested: list[Tested]) -> pd.DataFrame:
    """Columns labeller, true, predicted, count."""
    rows = []
    for name, metrics, _ in tested:
        confusion = metrics["scores"][metrics["chosen"]]["confusion"]
        for true, counts in zip(confusion["classes"], confusion["counts"], strict=True):
            if sum(counts):
                rows += [
                    {"labeller": name, "true": true, "predicted": predicted, "count": count}
                    for predicted, count in zip(confusion["classes"], counts, strict=True)
                ]
    return pd.DataFrame(rows)


def _confusion_text(counts: pd.DataFrame) -> pd.DataFrame:
    present = set(counts["true"]) | set(counts["predicted"])
    order = [risk for risk in RISKS if risk in present]
    wide = counts.pivot_table(index=["labeller", "true"], columns="predicted", values="count", sort=False)
    rows = [key for name in counts["labeller"].unique() for risk in order if (key := (name, risk)) in wide.index]
    wide = wide.reindex(index=pd.MultiIndex.from_tuples(rows), columns=order).fillna(0).astype(int)
    wide.insert(0, "Released class", [risk for _, risk in rows])
    wide.insert(0, "Labeller", [name for name, _ in rows])
    return wide.assign(n=wide[order].sum(axis=1)).reset_index(drop=True)


def _agreement(tested: list[Tested], pools: Mapping[str, tuple[str, Mapping[str, Any]]]) -> pd.DataFrame:
    parts = []
    for name, metrics, held_out in tested:
        own = held_out[["prompt_id", "label", metrics["chosen"]]].set_axis(["prompt_id", RELEASED, name], axis=1)
        parts.append(agreement_rows(own, "held out"))
    for one, other in combinations(tested, 2):
        both = _classes(one).merge(_classes(other), on="prompt_id")
        parts.append(agreement_rows(both, "held out"))
    for name, (labeller, found) in pools.items():
        if found.get("n"):
            row = {"prompts": f"pool {name}", "first": RELEASED, "second": labeller, **found}
            row |= {"ci_low": row.pop("kappa_low", None), "ci_high": row.pop("kappa_high", None)}
            parts.append(pd.DataFrame([row]))
    for name, metrics, _ in tested:
        twice = metrics.get("label_agreement", {})
        if "kappa" in twice:
            row = {"prompts": f"labelled twice ({name})", "first": RELEASED, "second": RELEASED}
            parts.append(pd.DataFrame([{**row, **{key: twice[key] for key in ("n", "agreement", "kappa")}}]))
    columns = ["prompts", "first", "second", "n", "agreement", "kappa", "ci_low", "ci_high"]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True).reindex(columns=columns) if filled else pd.DataFrame(columns=columns)


def _classes(tested: Tested) -> pd.DataFrame:
    """A labeller's class of every held-out prompt, once."""
    found = tested.held_out[["prompt_id", tested.metrics["chosen"]]].drop_duplicates("prompt_id")
    return found.set_axis(["prompt_id", tested.name], axis=1)


def _agreement_text(rows: pd.DataFrame) -> pd.DataFrame:
    numbers = rows.astype({"kappa": float, "ci_low": float, "ci_high": float})
    return pd.DataFrame(
        {
            "Prompts": rows["prompts"],
            "Labeller": rows["first"],
            "Other labeller": rows["second"],
            "n": rows["n"].astype(int),
            "Equal": [f"{share:.2f}" for share in rows["agreement"].astype(float)],
            "Cohen's kappa": intervals(numbers, "kappa"),
        }
    )
