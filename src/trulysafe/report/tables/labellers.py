"""Scores of the risk labellers, beside the baseline and what can be reached."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from trulysafe.classifier.fit_and_test import score
from trulysafe.common.schema import RISKS, UNPARSED
from trulysafe.label.agreement import macro_f1s, paired_statistic
from trulysafe.report.run import Run, Tested, labelled_by
from trulysafe.report.table import Table, cells, spread
from trulysafe.stats.intervals import interval

COLUMNS = {"macro_f1": "Macro-F1", "accuracy": "Accuracy"} | {f"f1_{risk}": f"F1 {risk}" for risk in RISKS if risk}
COLUMNS[UNPARSED] = "Unparsed"
CAPTION = (
    "Risk labellers on held-out prompts: the classes as used, the others beside them (words: TF-IDF of single words, "
    "the baseline), and, where prompts were labelled more than once, how well one released label predicts another of "
    "the same prompt, which is about what can be reached. Macro-F1 is over the classes of the released labels; "
    "unparsed answers count as wrong. Brackets hold 95% intervals from resampled prompts."
)


def table(run: Run) -> Table | None:
    """One line per labeller and what its classes are by."""
    columns = "labeller by used metric value ci_low ci_high n".split()
    rows = pd.DataFrame([row for tested in run.labellers for row in _scores(tested)], columns=columns)
    if rows.empty:
        return None
    lines = rows.assign(column=rows["metric"].map(COLUMNS), classes=labelled_by(rows))
    lines["cell"] = cells(rows, "value", ".0f").where(rows["metric"] == UNPARSED, cells(rows, "value"))
    lines["n"] = lines.groupby(["labeller", "by"])["n"].transform("first")
    about = {"labeller": "Labeller", "classes": "Classes by", "n": "n"}
    shown = spread(lines.dropna(subset="column"), COLUMNS.values(), about, line=["labeller", "by"])
    return Table(rows, shown, CAPTION)


def _scores(tested: Tested) -> Iterator[dict[str, Any]]:
    """One row per what classes are by (features, reviewer, other labels) and metric: value, limits and n."""
    name, metrics, held_out = tested
    families, true = held_out["prompt_id"].tolist(), held_out["label"].tolist()
    for by in metrics["scores"]:
        predicted = held_out[by].tolist()
        macro = paired_statistic(true, predicted, families, macro_f1s)
        right = interval([float(a == b) for a, b in zip(true, predicted, strict=True)], families=families)
        head = {"labeller": name, "by": by, "used": by == metrics["chosen"], "n": len(true)}
        for metric, found in (("macro_f1", macro), ("accuracy", right)):
            yield {**head, "metric": metric, "value": found.value, "ci_low": found.low, "ci_high": found.high}
        yield from ({**head, **row} for row in _per_class(score(true, predicted)["per_class"]))
        if UNPARSED in metrics and by == metrics["chosen"]:
            yield {**head, "metric": UNPARSED, "value": predicted.count(UNPARSED)}
    yield from _ceiling(name, metrics.get("label_agreement", {}))


def _ceiling(name: str, twice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """How well one released label predicts another; ``n`` counts ordered pairs of labels of one prompt."""
    if "macro_f1" in twice:
        head = {"labeller": name, "by": "another released label", "used": False, "n": twice["n"]}
        noted = {"prompts_labelled_twice": "prompts", "prompts_labelled_differently": "disagreeing"}
        for metric, key in {**noted, "macro_f1": "macro_f1", "accuracy": "agreement"}.items():
            yield {**head, "metric": metric, "value": twice[key]}
        yield from ({**head, **row} for row in _per_class(twice["per_class"]))


def _per_class(per_class: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    risks = [risk for risk in RISKS if risk in per_class and risk != UNPARSED]
    return [{"metric": f"f1_{risk}", "value": per_class[risk]["f1"]} for risk in risks]
