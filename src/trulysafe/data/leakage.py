"""Fail where a prompt, a near-duplicate of it, or one that descends from it or with it from another, reached two roles.
The check looks at the tables as the stages used them, recomputes ids from the texts, and knows nothing of how the split
was made."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.common.ids import prompt_id
from trulysafe.data.descent import DESCENT, descent
from trulysafe.data.roles import rows_of_role
from trulysafe.data.similarity import near_pairs

EXAMPLES = 3
HOW = ("equal", "near", "related")
LEARNING_ROLES = ("labeller", "reward", "pairs", "judge")
EXEMPT = tuple(("corpus", role) for role in LEARNING_ROLES)
"""The base model may have read what alignment uses, as any pretrained model has; it must not have read what evaluation
asks."""


def check(
    used: Mapping[str, pd.DataFrame], threshold: float, exempt: Iterable[tuple[str, str]] = EXEMPT
) -> dict[str, Any]:
    """Compare the prompts of every two roles.

    Prompts at least as similar as ``threshold`` leaked, at 1 equal ones alone. ``used`` holds by role the rows that its
    stages used, with the columns ``prompt`` and ``source``, and ``meta`` where it notes descent; the overlap of
    ``exempt`` pairs of roles is counted but does not fail. Returns ``prompts`` per role, and per pair of roles the
    counts of ``equal`` and ``near`` pairs of prompts, and of those that are ``related`` by descent alone, by datasets.
    The UserError names roles, datasets, counts and ids, never the text of a prompt.
    """
    prompts = _prompts(used)
    overlaps = _overlaps(prompts, _lines(used), threshold)
    pardoned = {frozenset(pair) for pair in exempt}
    roles = combinations(sorted(used), 2)
    entries = [_counts(pair, overlaps, exempt=frozenset(pair) in pardoned) for pair in roles]
    leaks = [entry for entry in entries if any(entry[how] for how in HOW) and not entry["exempt"]]
    if leaks:
        raise UserError("\n".join(map(_message, leaks)))
    counts = prompts["role"].value_counts()
    return {"threshold": threshold, "prompts": {role: int(counts.get(role, 0)) for role in used}, "pairs": entries}


def rows_of_stages(
    tables: Sequence[Path | str], split: Path | str, used_as: Mapping[str, Mapping[str, Any]]
) -> dict[str, pd.DataFrame]:
    """Read the rows that stages see, by role, as :func:`check` takes them.

    ``tables`` hold one data set each and are named after it; ``used_as`` is by role the ``kind`` of table that its
    stages read and the names of their ``datasets``.
    """
    files = {Path(path).stem: path for path in tables}
    return {
        role: rows_of_role([files[name] for name in use["datasets"]], use["kind"], split, role)
        for role, use in used_as.items()
    }


def _prompts(used: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per role and prompt: role, id, text, and the datasets that brought it."""
    frames = [frame[["prompt", "source"]].assign(role=role) for role, frame in used.items()]
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["prompt", "source", "role"])
    rows["id"] = [prompt_id(prompt) for prompt in rows["prompt"]]
    sources = rows.groupby(["role", "id"])["source"].agg(lambda names: "+".join(sorted(set(names))))
    return rows.drop_duplicates(["role", "id"]).drop(columns="source").merge(sources.reset_index(), on=["role", "id"])


def _lines(used: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Which prompts descend from which: columns prompt_id and seed; every seed is of its own line too."""
    noted = [
        descent(map(prompt_id, rows["prompt"]), rows["meta"])
        for frame in used.values()
        if "meta" in frame and len(rows := frame[frame["meta"].str.contains(DESCENT, regex=False)])
    ]
    lines = pd.concat(noted) if noted else descent([], [])
    return pd.concat([lines, pd.DataFrame({"prompt_id": lines["seed"], "seed": lines["seed"]})]).drop_duplicates()


def _overlaps(prompts: pd.DataFrame, lines: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Pairs of prompts of different roles that are equal, near-duplicates, or related; ``how`` says which."""
    texts = prompts.drop_duplicates("id", ignore_index=True)
    first, second, _ = near_pairs(texts["prompt"].tolist(), threshold)
    ids = texts["id"].to_numpy()
    near = pd.DataFrame({"id_a": np.r_[ids[first], ids[second]], "id_b": np.r_[ids[second], ids[first]]})
    related = lines.merge(lines, on="seed", suffixes=("_a", "_b"))
    related = related.rename(columns={"prompt_id_a": "id_a", "prompt_id_b": "id_b"})[["id_a", "id_b"]]
    links = [pd.DataFrame({"id_a": ids, "id_b": ids}).assign(how="equal"), near.assign(how="near")]
    sides = prompts[["role", "id", "source"]]
    found = pd.concat([*links, related.assign(how="related")]).drop_duplicates(["id_a", "id_b"])
    both = found.merge(sides.add_suffix("_a"), on="id_a").merge(sides.add_suffix("_b"), on="id_b")
    return both[both["role_a"] < both["role_b"]]


def _counts(roles: tuple[str, str], overlaps: pd.DataFrame, exempt: bool) -> dict[str, Any]:
    here = overlaps[(overlaps["role_a"] == roles[0]) & (overlaps["role_b"] == roles[1])]
    datasets = (here["source_a"] + " and " + here["source_b"]).value_counts(sort=False).sort_index()
    examples = here.sort_values(["id_a", "id_b"]).head(EXAMPLES)
    return {
        "roles": list(roles),
        "exempt": exempt,
        **{how: int((here["how"] == how).sum()) for how in HOW},
        "datasets": {name: int(count) for name, count in datasets.items()},
        "examples": [f"{a}/{b}" for a, b in zip(examples["id_a"], examples["id_b"], strict=True)],
    }


def _message(entry: dict[str, Any]) -> str:
    datasets = ", ".join(f"{name} ({count})" for name, count in entry["datasets"].items())
    related = f", and {entry['related']} that descend from each other or from one prompt" if entry["related"] else ""
    return (
        f"leakage between roles {entry['roles'][0]} and {entry['roles'][1]}: {entry['equal']} equal and "
        f"{entry['near']} near-duplicate prompts{related}. Datasets: {datasets}. Prompt ids, for example: "
        f"{', '.join(entry['examples'])}. Give the datasets one role, or `split`, so that the split keeps their "
        "prompts apart."
    )
