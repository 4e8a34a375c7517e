"""Every arm in every category of the benchmarks."""

import pandas as pd

from trulysafe.report.run import Arms, Run, in_order, label_of
from trulysafe.report.table import Table, cells, spread

CAPTION = (
    "Each arm at the end of training per benchmark and category, by the main judge: share of harmful prompts handled "
    "safely, or of harmless look-alikes refused; n counts answers of all seeds. Categories are those of the "
    "benchmarks' authors, of adversarial prompts the families of attacks. Brackets hold 95% intervals from resampling "
    "training seeds and prompts together; no correction for the number of cells."
)
METRICS = {"safe": "safe", "over_refusal": "over-refusal"}


def table(run: Run) -> dict[str, Table]:
    """One table per group of arms: a line per benchmark and category, a column per arm."""
    found = {group: _of_arms(run.categories, arms) for group, arms in run.groups.items() if len(run.categories)}
    return {group: made for group, made in found.items() if made is not None}


def _of_arms(categories: pd.DataFrame, arms: Arms) -> Table | None:
    rows = in_order(categories, arms)
    if rows.empty:
        return None
    named = {"what": rows["metric"].map(METRICS), "name": rows["benchmark"].str.replace("_", " ")}
    lines = rows.assign(cell=cells(rows, "value"), column=rows["label"], **named)
    lines["n"] = lines.groupby(["benchmark", "category"])["n"].transform("max")
    lines = lines.sort_values(["metric", "benchmark", "category"], ascending=[False, True, True], kind="stable")
    about = {"name": "Benchmark", "category": "Category", "what": "Share", "n": "n, at most"}
    columns = [label_of(arms, name) for name in arms]
    return Table(rows, spread(lines, columns, about, line=["metric", "benchmark", "category"]), CAPTION)
