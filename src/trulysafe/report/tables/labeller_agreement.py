"""Agreement of two risk labellers on the same prompts."""

from collections.abc import Iterator
from itertools import combinations

import pandas as pd

from trulysafe.label.agreement import agreement_rows
from trulysafe.report.run import Run, Tested
from trulysafe.report.table import Cell, Table, cells

RELEASED = "released"
CAPTION = (
    "Agreement of two labellers on the same prompts; unparsed is a class like any other. Brackets hold 95% intervals "
    "of Cohen's kappa from resampled prompts (families of prompts in pools); two released labels of one prompt are "
    "counted in both orders, without an interval."
)


def table(run: Run) -> Table | None:
    """One line per pair of labellers and set of prompts; the released labels count as a labeller."""
    found = [part for part in _parts(run) if len(part)]
    if not found:
        return None
    columns = ["prompts", "first", "second", "n", "agreement", "kappa", "ci_low", "ci_high"]
    rows = pd.concat(found, ignore_index=True).reindex(columns=columns)
    shown = {
        "Prompts": rows["prompts"],
        "Labeller": rows["first"],
        "Other labeller": rows["second"],
        "n": rows["n"].astype(int),
        "Equal": [Cell(share) for share in rows["agreement"].astype(float)],
        "Cohen's kappa": cells(rows, "kappa"),
    }
    return Table(rows, pd.DataFrame(shown), CAPTION)


def _parts(run: Run) -> Iterator[pd.DataFrame]:
    """Labellers and released labels, labellers among themselves, labelled pools, prompts that were labelled twice."""
    for name, metrics, held_out in run.labellers:
        own = held_out[["prompt_id", "label", metrics["chosen"]]]
        yield agreement_rows(own.set_axis(["prompt_id", RELEASED, name], axis=1), "held out")
    for one, other in combinations(run.labellers, 2):
        yield agreement_rows(_classes(one).merge(_classes(other), on="prompt_id"), "held out")
    for name, (labeller, found) in run.labelled_pools.items():
        if found.get("n"):
            row = {"prompts": f"pool {name}", "first": RELEASED, "second": labeller, **found}
            yield pd.DataFrame([row]).rename(columns={"kappa_low": "ci_low", "kappa_high": "ci_high"})
    for name, metrics, _ in run.labellers:
        twice = metrics.get("label_agreement", {})
        if "kappa" in twice:
            row = {"prompts": f"labelled twice ({name})", "first": RELEASED, "second": RELEASED}
            yield pd.DataFrame([{**row, **{key: twice[key] for key in ("n", "agreement", "kappa")}}])


def _classes(tested: Tested) -> pd.DataFrame:
    found = tested.held_out[["prompt_id", tested.metrics["chosen"]]].drop_duplicates("prompt_id")
    return found.set_axis(["prompt_id", tested.name], axis=1)
