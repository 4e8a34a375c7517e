"""What training pairs cost, beside what they led to: sampling anew against reading rewards off the training forward,
and over whole trainings rounds of re-ranking one pool against sampling anew at every step.

An arm that trains on re-ranked pairs pays for its pool once, and in every round up to its own for the states of the
pool's responses, for ranking them, and for the reference's forward over the new pairs. Trainings of earlier rounds that
it builds on are counted with its own. An arm that samples online pays at every step; the pairs that its mix was drawn
from are thrown away, and not counted. FLOPs are those of :mod:`trulysafe.trainers.step_cost`, from the jobs' tokens.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trulysafe.report.job_times import job_seconds
from trulysafe.report.run import Arms, label_of
from trulysafe.report.table import Cell, cells
from trulysafe.report.tables.main import main_rows
from trulysafe.stats.intervals import interval
from trulysafe.trainers.step_cost import COST_FILE, FORWARD, flops_per_step, reading_flops
from trulysafe.workflow.provenance import manifest_path, read_manifest

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
KINDS = ("sampling", "states", "ranking", "reference")
"""Jobs that make pairs."""
UNITS, PARTS = ("seconds", "flops"), ("pairs", "whole")
WHOLE_CAPTION = (
    "Cost of pairs over whole trainings, rounds of re-ranking beside online sampling. Training: optimiser steps of the "
    "arm and of the earlier rounds that it builds on, without what is done for pairs (mean step of each arm over "
    "seeds, times its steps). Pairs, re-ranked: sampling the pool once, and per round its states, ranking, and the "
    "reference's forward over the table's pairs (of the arm's first seed); whole jobs take in the start of the "
    "libraries and the loading of the model, work leaves out the former. Pairs, online: sampling, judging and the "
    "reference's forward within the steps. Reading of rewards within steps counts as pairs. FLOPs are estimated as in "
    "the table per step. Seconds are of one machine and vary from run to run. Shares with 95% intervals over seeds and "
    "prompt families."
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


class PairJob(NamedTuple):
    """A job that makes pairs, as it was measured: seconds of the whole job, and of its work without Python's start;
    tokens that went through the model; responses whose rewards were read (``ranking`` alone)."""

    kind: str
    job_seconds: float
    seconds: float
    tokens: float = 0
    responses: float = 0


class ArmWork(NamedTuple):
    """What led to an arm's policies: steps of its training and of those that it builds on, by experiment; number of
    re-ranked pair tables that it builds on, and the jobs that made them; whether it samples pairs itself."""

    trained: Mapping[str, int]
    rounds: int
    jobs: Sequence[PairJob]
    online: bool = False


def read_work(planned: Mapping[str, Mapping[str, Any]]) -> dict[str, ArmWork]:
    """Measure what led to each arm (:meth:`trulysafe.plan.report.Report.pair_work`), where every measure is there."""
    found = {}
    for name, about in planned.items():
        if all(manifest_path(Path(job[1])).is_file() and Path(job[2]).is_file() for job in about["jobs"]):
            jobs = []
            for kind, output, timing in about["jobs"]:
                made = read_manifest(output)
                tokens = sum(made["notes"].get(key, 0) for key in ("tokens", "prompt_tokens"))
                measured = (job_seconds(timing), float(made["seconds"]), tokens, made["notes"].get("ranked", 0))
                jobs.append(PairJob(kind, *measured))
            found[name] = ArmWork(about["trained"], about["rounds"], jobs, about["online"])
    return found


def whole_rows(costs: pd.DataFrame, work: Mapping[str, ArmWork], metrics: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """One row per arm whose training was measured, with that of all it builds on. ``costs`` is from
    :func:`read_costs`, ``metrics`` has summary rows. Columns experiment, rounds, online,
    training_seconds, training_flops, pairs_job_seconds, pairs_seconds, pairs_flops, ``<kind>_seconds`` and
    ``<kind>_flops`` of :data:`KINDS` and ``in_steps``, and the outcomes."""
    outcomes, means = outcomes_of(metrics, arms), mean_steps(costs)
    sizes = costs.drop_duplicates("experiment").set_index("experiment").to_dict("index")
    rows = []
    for name in (arm for arm in arms if arm in work and {*work[arm].trained} <= {*sizes}):
        of_arm, size = work[name], sizes[name]
        row: dict[str, Any] = {"experiment": name, "rounds": of_arm.rounds, "online": of_arm.online}
        row |= _of_steps(means, of_arm)
        for kind in KINDS:
            jobs = [job for job in of_arm.jobs if job.kind == kind]
            row[f"{kind}_seconds"] = sum(job.seconds for job in jobs)
            reading = reading_flops(sum(job.responses for job in jobs), size["layers"], size["width"])
            row[f"{kind}_flops"] = FORWARD * size["parameters"] * sum(job.tokens for job in jobs) + reading
        row["pairs_job_seconds"] = row["in_steps_seconds"] + sum(job.job_seconds for job in of_arm.jobs)
        for unit in UNITS:
            row[f"pairs_{unit}"] = sum(row[f"{kind}_{unit}"] for kind in ("in_steps", *KINDS))
        rows.append(row | outcomes.get(name, {}))
    return pd.DataFrame(rows)


def _of_steps(means: pd.DataFrame, work: ArmWork) -> dict[str, float]:
    steps = pd.Series(work.trained, dtype=float)
    of_arms = means.loc[steps.index]
    found: dict[str, float] = {}
    for unit in UNITS:
        pairs, whole = of_arms[[(unit, kind) for kind in OVERHEAD]].sum(axis=1), of_arms[unit, "step"]
        training = whole - pairs if unit == "seconds" else whole  # the seconds of a step have all else in them
        found |= {f"training_{unit}": (steps * training).sum(), f"in_steps_{unit}": (steps * pairs).sum()}
    return found


def whole_text(rows: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """Lay :func:`whole_rows` out for reading, one line per arm."""
    columns = {
        "Arm": [label_of(arms, name) for name in rows["experiment"]],
        "Rounds": ["online" if row["online"] else str(row["rounds"]) for row in rows.to_dict("records")],
        "training, s": numbers(rows["training_seconds"], ".3g"),
        "pairs, whole jobs, s": numbers(rows["pairs_job_seconds"], ".3g"),
        "pairs, work, s": numbers(rows["pairs_seconds"], ".3g"),
        "training, FLOPs": numbers(rows["training_flops"], ".2e"),
        "pairs, FLOPs": numbers(rows["pairs_flops"], ".2e"),
        "pairs / training": numbers(rows["pairs_flops"] / rows["training_flops"], ".3g"),
        **outcome_cells(rows),
    }
    return pd.DataFrame(columns)


def whole_ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """Pairs and whole trainings of every online arm over those of every re-ranked arm, in seconds of work and FLOPs."""
    rows = rows.assign(**{f"whole_{unit}": rows[f"training_{unit}"] + rows[f"pairs_{unit}"] for unit in UNITS})
    online = rows["online"].astype(bool)
    found = rows[online].merge(rows[~online & (rows["rounds"] > 0)], how="cross", suffixes=("", "_of"))
    columns = [f"{part}_{unit}" for part in PARTS for unit in UNITS]
    ratios = {column: found[column] / found[f"{column}_of"] for column in columns}
    about = {"online": found["experiment"], "reranked": found["experiment_of"], "rounds": found["rounds_of"]}
    return pd.DataFrame(about | ratios)


def pair_job_rows(work: Mapping[str, ArmWork]) -> pd.DataFrame:
    """Every job that made an arm's pairs: columns experiment and those of :class:`PairJob`."""
    rows = [(name, *job) for name, of_arm in work.items() for job in of_arm.jobs]
    return pd.DataFrame(rows, columns=["experiment", *PairJob._fields])
