"""Published numbers beside ours: what the papers print, how far their versions differ, and what was measured here."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.report.tables import NOT_RUN, intervals

MAIN_RESULTS = "equilibrate_main_results.csv"
PRINTED_DIVERGENCE = "rbrm_pca_kl_pdf.csv"
RELEASED_DIVERGENCE = "rbrm_released_hidden_states_recheck.csv"
COLUMNS = ("paper", "table", "model", "method", "benchmark", "metric", "value")
_KEYS = ["model", "benchmark", "metric", "method"]


def read_published(folder: Path | str, name: str) -> pd.DataFrame:
    """Read one table of published numbers, values as text.

    Raises:
        UserError: the file is absent or lacks a column.
    """
    path = Path(folder) / name
    if not path.is_file():
        raise UserError(f"{path}: file not found. Published numbers lie in resources/published.")
    table = pd.read_csv(path, dtype=str)
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise UserError(f"{path}: column {missing[0]!r} is missing. Accepted columns: {', '.join(COLUMNS)}.")
    return table


def published_rows(folder: Path | str, ours: pd.DataFrame | None = None) -> pd.DataFrame:
    """Main results of Equilibrate RLHF: the last version, the spread over all versions, and ours.

    Args:
        folder: folder of the published tables.
        ours: columns model, method, benchmark, value, ci_low, ci_high, n, named as published; None where nothing was run.

    Returns:
        One row per model, benchmark, metric and method, in the paper's order: ``paper`` (the last version), ``version``,
        ``lowest`` and ``highest`` over all versions, ``versions``, and ``ours``, ``ci_low``, ``ci_high``, ``n`` (missing where not run).
    """
    table = read_published(folder, MAIN_RESULTS)
    table["value"] = pd.to_numeric(table["value"])
    table["version"] = table["table"].str.extract(r"_v(\d+)_")[0].astype(int)
    order = table[_KEYS].drop_duplicates()
    grouped = table.sort_values("version").groupby(_KEYS, sort=False)
    spread = grouped.agg(
        paper=("value", "last"), version=("version", "last"), lowest=("value", "min"), highest=("value", "max"),
        versions=("version", "nunique"),
    )  # fmt: skip
    rows = order.merge(spread.reset_index(), on=_KEYS)
    if ours is None:
        return rows.assign(ours=float("nan"), ci_low=float("nan"), ci_high=float("nan"), n=float("nan"))
    ours = ours.rename(columns={"value": "ours"})[["model", "method", "benchmark", "ours", "ci_low", "ci_high", "n"]]
    return rows.merge(ours, on=["model", "method", "benchmark"], how="left")


def published_text(rows: pd.DataFrame) -> pd.DataFrame:
    """Lay :func:`published_rows` out for reading."""
    same = rows["lowest"] == rows["highest"]
    return pd.DataFrame(
        {
            "Model": rows["model"],
            "Benchmark": rows["benchmark"],
            "Method": rows["method"],
            f"Paper (v{rows['version'].max()})": rows["paper"].map("{:.4f}".format),
            "Spread over versions": [
                "none" if equal else f"{low:.4f} to {high:.4f}"
                for equal, low, high in zip(same, rows["lowest"], rows["highest"], strict=True)
            ],
            "Ours": [text or NOT_RUN for text in intervals(rows, "ours", digits=4)],
        }
    )


def divergence_rows(folder: Path | str, ours: pd.DataFrame | None = None) -> pd.DataFrame:
    """KL between the classes' densities per layer: printed in RBRM's figure, recomputed from its released states, ours.

    Args:
        folder: folder of the published tables.
        ours: columns layer, kl_safe_unsafe, kl_unsafe_safe; None where no layer analysis was run.

    Returns:
        One row per layer; columns ``printed_first``, ``printed_second`` (the figure does not say which class comes first),
        ``released_forward``, ``released_reverse``, ``ours_forward``, ``ours_reverse``; all in nats, missing where there is none.
    """
    frames = []
    for name, prefix, pattern in (
        (PRINTED_DIVERGENCE, "printed", {"KL_first": "first", "KL_second": "second"}),
        (RELEASED_DIVERGENCE, "released", {"KL(safe": "forward", "KL(unsafe": "reverse"}),
    ):
        table = read_published(folder, name)
        table = table[table["benchmark"].str.match(r"layer \d+$")]
        for start, direction in pattern.items():
            rows = table[table["metric"].str.startswith(start)]
            layers = rows["benchmark"].str.removeprefix("layer ").astype(int)
            frames.append(
                pd.Series(pd.to_numeric(rows["value"]).to_numpy(), index=layers, name=f"{prefix}_{direction}")
            )
    if ours is not None:
        named = {"kl_safe_unsafe": "ours_forward", "kl_unsafe_safe": "ours_reverse"}
        frames += [ours.set_index("layer")[column].rename(name) for column, name in named.items()]
    return pd.concat(frames, axis=1).sort_index().rename_axis("layer").reset_index()


def divergence_text(rows: pd.DataFrame) -> pd.DataFrame:
    """Lay :func:`divergence_rows` out for reading: both directions of a source in one cell."""
    sources = {"Printed (first, second)": ("printed_first", "printed_second")}
    sources["Released states (forward, reverse)"] = ("released_forward", "released_reverse")
    sources["Ours (forward, reverse)"] = ("ours_forward", "ours_reverse")
    text = pd.DataFrame({"Layer": rows["layer"]})
    for name, (first, second) in sources.items():
        found = rows.reindex(columns=[first, second]).to_numpy(dtype=float)
        text[name] = ["" if pd.isna(pair).all() else f"{pair[0]:.2f}, {pair[1]:.2f}" for pair in found]
    text[text.columns[-1]] = text[text.columns[-1]].replace("", NOT_RUN)
    return text
