"""What the pairs of a whole training cost: rounds of re-ranking one pool beside sampling anew at every step.

An arm that trains on re-ranked pairs pays for its pool once, and in every round up to its own for the states of the
pool's responses, for ranking them, and for the reference's forward over the new pairs. Trainings of earlier rounds that
it builds on are counted with its own. An arm that samples online pays at every step; the pairs that its mix was drawn
from are thrown away, and not counted. FLOPs are those of :mod:`trulysafe.trainers.step_cost`, from the jobs' tokens.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trulysafe.report.cost import OVERHEAD, mean_steps, numbers, outcome_cells, outcomes_of
from trulysafe.report.job_times import job_seconds
from trulysafe.report.run import Arms, label_of
from trulysafe.trainers.step_cost import FORWARD, reading_flops
from trulysafe.workflow.provenance import manifest_path, read_manifest

KINDS = ("sampling", "states", "ranking", "reference")
"""Jobs that make pairs."""
UNITS, PARTS = ("seconds", "flops"), ("pairs", "whole")
CAPTION = (
    "Cost of pairs over whole trainings, rounds of re-ranking beside online sampling. Training: optimiser steps of the "
    "arm and of the earlier rounds that it builds on, without what is done for pairs (mean step of each arm over "
    "seeds, times its steps). Pairs, re-ranked: sampling the pool once, and per round its states, ranking, and the "
    "reference's forward over the table's pairs (of the arm's first seed); whole jobs take in the start of the "
    "libraries and the loading of the model, work leaves out the former. Pairs, online: sampling, judging and the "
    "reference's forward within the steps. Reading of rewards within steps counts as pairs. FLOPs are estimated as in "
    "the table per step. Seconds are of one machine and vary from run to run. Shares with 95% intervals over seeds and "
    "prompt families."
)


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
    :func:`trulysafe.report.cost.read_costs`, ``metrics`` has summary rows. Columns experiment, rounds, online,
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
