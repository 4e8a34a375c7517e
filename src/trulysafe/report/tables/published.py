"""Published numbers beside ours: what the paper prints, how far its versions differ, and what was measured here."""

from pathlib import Path

import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.evaluate.metrics import POOLED
from trulysafe.report.run import Run, at_last_step
from trulysafe.report.table import NOT_RUN, Cell, Table, cells

FILE = "equilibrate_main_results.csv"
COLUMNS = ("paper", "table", "model", "method", "benchmark", "metric", "value")
_KEYS = ["model", "benchmark", "metric", "method"]
CAPTION = (
    "Equilibrate RLHF, main results as published: the last version of the paper, and the lowest and highest value over "
    "its versions, which differ in some cells. Our column holds the arms and "
    "benchmarks of this run that the configuration calls the same (`published`), with 95% intervals; then ours minus "
    "the paper's, and whether the paper's value lies within our interval. Where a run has some of the twelve general "
    "benchmarks, a last line has their plain mean, the paper's over the same ones; with all twelve that is Helpful Avg."
)
HELPFUL = "Helpful Avg"
"""What the paper calls the plain mean of its general benchmarks."""


def table(run: Run) -> Table | None:
    """One line per model, benchmark and method."""
    if run.published is None:
        return None
    rows = published_rows(run.published, measured(run))
    return Table(rows, shown(rows), CAPTION)


def measured(run: Run) -> pd.DataFrame:
    """Our shares at the end of training on benchmarks and of arms that the paper has too, by its names: columns model,
    method, benchmark, value, ci_low, ci_high, n, provenance_id (of the manifest of the metrics)."""
    arms, benchmarks = (run.published_names.get(part, {}) for part in ("arms", "benchmarks"))
    rows = at_last_step(run.metrics[run.metrics["experiment"].isin(list(arms))])
    rows = rows[(rows["seed"] == POOLED) & (rows["risk"] == "all") & rows["metric"].isin(["safe", "helpful"])]
    judges = rows["benchmark"].map({name: about["judge"] for name, about in benchmarks.items()})
    rows = rows[rows["judge"] == judges]
    for column in ("model", "method"):
        rows = rows.assign(**{column: [arms[name][column] for name in rows["experiment"]]})
    rows = rows.assign(benchmark=[benchmarks[name]["published"] for name in rows["benchmark"]])
    return rows[["model", "method", "benchmark", "value", "ci_low", "ci_high", "n", "provenance_id"]]


def read_published(folder: Path | str, name: str) -> pd.DataFrame:
    """Read one table of published numbers, values as text; UserError where the file is absent or lacks a column."""
    path = Path(folder) / name
    if not path.is_file():
        raise UserError(f"{path}: file not found. Published numbers lie in resources/published.")
    read = pd.read_csv(path, dtype=str)
    missing = [column for column in COLUMNS if column not in read]
    if missing:
        raise UserError(f"{path}: column {missing[0]!r} is missing. Accepted columns: {', '.join(COLUMNS)}.")
    return read


def published_rows(folder: Path | str, ours: pd.DataFrame) -> pd.DataFrame:
    """Main results of Equilibrate RLHF in the paper's order, a row per model, benchmark, metric and method. Columns
    ``paper`` (last version), ``version``, ``lowest`` and ``highest`` over all ``versions``; ``ours``, ``ci_low``,
    ``ci_high``, ``n``, ``provenance_id``, of :func:`measured`; ``difference`` of ours to the paper's, and ``within``:
    whether the paper's lies within our limits. These are null where we have none."""
    read = read_published(folder, FILE)
    read["value"] = pd.to_numeric(read["value"])
    read["version"] = read["table"].str.extract(r"_v(\d+)_")[0].astype(int)
    order = read[_KEYS].drop_duplicates()
    grouped = read.sort_values("version").groupby(_KEYS, sort=False)
    versions = grouped.agg(
        paper=("value", "last"), version=("version", "last"), lowest=("value", "min"), highest=("value", "max"),
        versions=("version", "nunique"),
    )  # fmt: skip
    rows = order.merge(versions.reset_index(), on=_KEYS)
    rows = rows.merge(ours.rename(columns={"value": "ours"}), on=["model", "method", "benchmark"], how="left")
    limits = rows[["ci_low", "ci_high"]].astype(float)  # of objects where nothing was measured
    inside = rows["paper"].between(limits["ci_low"], limits["ci_high"]).astype("boolean")
    rows = _with_means(rows.assign(within=inside.where(limits["ci_low"].notna())))
    return rows.assign(difference=rows["ours"] - rows["paper"])


def _with_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the mean over the general benchmarks that were measured, two or more, for each model and method; it has no
    interval."""
    general = rows[rows["metric"].str.startswith("pass@1")]
    every, means = list(dict.fromkeys(general["benchmark"])), list[dict[str, object]]()
    for (model, method), own in general[general["ours"].notna()].groupby(["model", "method"], sort=False):
        if len(own) == 1:
            continue
        missing = [name for name in every if name not in set(own["benchmark"])]
        mean, n = float(own["ours"].mean()), own["n"].sum()
        if not missing:
            whole = (rows["model"] == model) & (rows["method"] == method) & (rows["benchmark"] == HELPFUL)
            rows.loc[whole, ["ours", "n"]] = mean, n
            continue
        named = f"without {', '.join(missing)}" if len(missing) < len(own) else ", ".join(own["benchmark"])
        about = {
            "benchmark": f"Mean of {len(own)} of {len(every)}: {named}",
            "metric": "mean",
            "version": rows["version"].max(),
        }
        paper = {key: float(own[key].mean()) for key in ("paper", "lowest", "highest")}
        means.append({"model": model, "method": method, **about, **paper, "ours": mean, "n": n})
    return pd.concat([rows, pd.DataFrame(means)], ignore_index=True) if means else rows


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Lay :func:`published_rows` out for reading."""
    limits = zip(rows["lowest"], rows["highest"], strict=True)
    columns = {
        "Model": rows["model"],
        "Benchmark": rows["benchmark"],
        "Method": rows["method"],
        f"Paper (v{rows['version'].max()})": [Cell(value, form=".4f") for value in rows["paper"]],
        "Spread over versions": ["none" if low == high else f"{low:.4f} to {high:.4f}" for low, high in limits],
        "Ours": cells(rows, "ours", ".4f", missing=NOT_RUN),
        "Difference": [Cell(value, form="+.4f") for value in rows["difference"]],
        "Within": rows["within"].map({True: "yes", False: "no"}).fillna(""),
    }
    return pd.DataFrame(columns)
