"""What training pairs cost, beside what they led to: sampling anew against reading rewards off the training forward."""

import json
from collections.abc import Iterable
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from trulysafe.report.run import Arms, label_of
from trulysafe.report.table import Cell, cells
from trulysafe.report.tables.main import main_rows
from trulysafe.stats.intervals import interval
from trulysafe.trainers.step_cost import COST_FILE, flops_per_step

OVERHEAD = ("sampling", "judging", "reference", "reading")
"""Work per step that is there for the pairs alone (see :mod:`trulysafe.trainers.step_cost`)."""
OUTCOMES = ("Safe all", "Over-refusal", "Helpful", "Truly safe")
CAPTION = (
    "Cost of pairs beside outcomes, per optimiser step, means over seeds. Overhead is what is done for the pairs "
    "alone: for online arms sampling from the current policy, judging, and the reference's forward over the new pairs; "
    "for arms that read the reward from the policy's states, that reading, as the states come with the training "
    "forward. FLOPs are estimated: 2 N per token forward, 6 N per token of training, N parameters without embeddings, "
    "attention over the context left out; reading: 2 L D + 2 L^2 per response (L layers of width D). The first step of "
    "a run is not counted. Seconds are of one machine and vary from run to run. Shares with 95% intervals over seeds "
    "and prompt families."
)


def read_costs(folders: Iterable[Path | str]) -> pd.DataFrame:
    """Costs of every run in folders of training jobs, ``policies/<job>``: one row per run and kind of work. Columns
    experiment, seed, kind, seconds, flops and tokens per step, steps, and the model's parameters, layers and width;
    ``step`` is the whole step in seconds, the training's FLOPs and tokens."""
    rows = []
    for path in sorted(found for folder in folders for found in Path(folder).glob(f"*/seed*/{COST_FILE}")):
        cost = json.loads(path.read_text(encoding="utf-8"))
        flops, steps = flops_per_step(cost), cost["steps"]
        place = (path.parts[-3], int(path.parts[-2].removeprefix("seed")), steps)
        size = (cost["parameters"], cost["layers"], cost["hidden_size"])
        for kind in ("step", *OVERHEAD) if steps else ():
            seconds, tokens = (cost[unit].get(kind, 0) / steps for unit in ("seconds", "tokens"))
            rows.append((*place, *size, kind, seconds, flops[kind], tokens))
    columns = ["experiment", "seed", "steps", "parameters", "layers", "width", "kind", "seconds", "flops", "tokens"]
    return pd.DataFrame(rows, columns=columns)


def cost_rows(costs: pd.DataFrame, metrics: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """One row per arm, from :func:`read_costs` and summary rows of schema ``metrics``. Columns experiment, seeds,
    step_seconds with limits, step_flops, ``<kind>_seconds`` and ``<kind>_flops`` by kind of work, overhead_seconds,
    overhead_flops, sampled_tokens, and per outcome its value and limits."""
    outcomes, means = outcomes_of(metrics, arms), mean_steps(costs)
    rows = []
    for name in (arm for arm in arms if arm in means.index):
        of_arm, mean = costs[costs["experiment"] == name], means.loc[name]
        step = interval(of_arm.loc[of_arm["kind"] == "step", "seconds"], answers=False)
        row: dict[str, Any] = {"experiment": name, "seeds": of_arm["seed"].nunique()}
        row |= {"step_seconds": step.value, "step_seconds_low": step.low, "step_seconds_high": step.high}
        row |= {"step_flops": mean["flops", "step"]}
        row |= {f"{kind}_{unit}": mean[unit, kind] for kind in OVERHEAD for unit in ("seconds", "flops")}
        row |= {f"overhead_{unit}": sum(mean[unit, kind] for kind in OVERHEAD) for unit in ("seconds", "flops")}
        rows.append(row | {"sampled_tokens": mean["tokens", "sampling"]} | outcomes.get(name, {}))
    return pd.DataFrame(rows)


def mean_steps(costs: pd.DataFrame) -> pd.DataFrame:
    """Means of a step over seeds: a row per experiment, columns (seconds, flops or tokens; kind of work)."""
    return costs.pivot_table(index="experiment", columns="kind", values=["seconds", "flops", "tokens"])


def cost_text(rows: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """Lay :func:`cost_rows` out for reading, one line per arm."""
    columns = {
        "Arm": [label_of(arms, name) for name in rows["experiment"]],
        "Seeds": rows["seeds"].tolist(),
        "s per step": numbers(rows["step_seconds"], ".3g"),
        "overhead, s": numbers(rows["overhead_seconds"], ".3g", zero=""),
        "training, FLOPs": numbers(rows["step_flops"], ".2e"),
        "overhead, FLOPs": numbers(rows["overhead_flops"], ".2e", zero=""),
        "overhead / training": numbers(rows["overhead_flops"] / rows["step_flops"], ".3g", zero=""),
        "sampled tokens": numbers(rows["sampled_tokens"], ".3g", zero=""),
        **outcome_cells(rows),
    }
    return pd.DataFrame(columns)


def numbers(values: pd.Series, form: str, zero: str | None = None) -> list[Cell]:
    """Cells without limits; ``zero`` stands in the place of 0."""
    return [Cell(value, form=form) if zero is None or value else Cell(nan, missing=zero) for value in values]


def outcomes_of(metrics: pd.DataFrame, arms: Arms) -> dict[str, dict[str, float]]:
    """Per arm: each of :data:`OUTCOMES` at the end of training, and its limits as ``<outcome> low`` and ``high``."""
    found: dict[str, dict[str, float]] = {}
    for row in main_rows(metrics, arms).to_dict("records"):
        if (column := row["column"]) in OUTCOMES:
            cells = {column: row["value"], f"{column} low": row["ci_low"], f"{column} high": row["ci_high"]}
            found.setdefault(row["experiment"], {}).update(cells)
    return found


def outcome_cells(rows: pd.DataFrame) -> dict[str, list[Cell]]:
    """Columns of :func:`outcomes_of` for reading, with their limits; outcomes that no arm has are left out."""
    limits = {column: {f"{column} low": "ci_low", f"{column} high": "ci_high"} for column in OUTCOMES if column in rows}
    return {column: list(cells(rows.rename(columns=names), column)) for column, names in limits.items()}


def ratio_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Overhead of arms that sample over that of arms that read states: columns online, reading, seconds, flops."""
    samples = rows["sampling_flops"] > 0
    pairs = rows[samples].merge(rows[~samples & (rows["reading_flops"] > 0)], how="cross", suffixes=("", "_read"))
    ratios = {unit: pairs[f"overhead_{unit}"] / pairs[f"overhead_{unit}_read"] for unit in ("seconds", "flops")}
    return pd.DataFrame({"online": pairs["experiment"], "reading": pairs["experiment_read"], **ratios})


def ratio_caption(ratios: pd.DataFrame, arms: Arms) -> str:
    """Say the measured ratios of overheads beside the claim; empty where there is no such pair of arms."""
    said = [
        f"{label_of(arms, online)} over {label_of(arms, reading)}: {seconds:.3g} in seconds, {flops:.3g} in FLOPs"
        for online, reading, seconds, flops in ratios.itertuples(index=False)
    ]
    return f" Overhead ratios, {'; '.join(said)} (RBRM claims about 300, without a breakdown)." if said else ""
