"""One split of all prompts over the roles, by hash of the prompt: what one stage learns from, no other stage is judged
on.

Groups of near-duplicate prompts get one role, and a synthesised prompt is in the group of the prompts that it descends
from. A dataset with a fixed role forces it on the groups of its prompts; where
datasets disagree the earlier of ``ROLES`` wins, so evaluation wins over all, and a dataset loses the rows whose prompts
went to another role. Groups that no fixed dataset touches go by their hash to the shares of a dataset that is divided.
The corpus gives way to all: it is large, and it may read what alignment uses, only not what evaluation asks.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from trulysafe.common.ids import content_id, unit_interval
from trulysafe.common.schema import check_table
from trulysafe.data.descent import descent
from trulysafe.data.similarity import groups

ROLES = ("evaluation", "judge", "labeller", "reward", "pairs", "corpus")
"""Who may see a prompt, the winner of a conflict first."""
RoleOrShares = str | Mapping[str, float]
"""A role, ``split`` (divided by the configuration's shares), or shares of the dataset's own, such as ``{judge: 0.4,
evaluation: 0.6}``."""


def assign(
    tables: Mapping[str, tuple[pd.DataFrame, RoleOrShares]],
    shares: Mapping[str, float],
    threshold: float,
    seed: int = 0,
) -> pd.DataFrame:
    """Give every prompt of every dataset one role.

    Returns a table of schema ``split``, one row per prompt, ordered by prompt id. ``tables`` holds by name the columns
    ``prompt_id`` and ``prompt`` of a dataset, and its role; the order of datasets changes nothing. ``shares`` of
    prompts per role, scaled to a sum of 1, are for datasets whose role is ``split``; another ``seed`` divides them
    anew. Prompts at least as similar as ``threshold`` are one group; 1 groups equal prompts alone. Where a frame has a
    column ``meta``, the prompts that descent links are of one group as well (:mod:`trulysafe.data.descent`).
    """
    held = pd.concat([frame[["prompt_id", "prompt"]].assign(dataset=name) for name, (frame, _) in tables.items()])
    prompts = held.sort_values("prompt_id").drop_duplicates("prompt_id", ignore_index=True)
    prompts["group"] = groups(prompts["prompt"].tolist(), threshold, _links(tables, prompts["prompt_id"]))
    # the smallest prompt id names the group: it stays the same when other datasets come or go
    prompts["group_id"] = prompts.groupby("group")["prompt_id"].transform("min")
    joined = held[["prompt_id", "dataset"]].drop_duplicates().merge(prompts[["prompt_id", "group_id"]], on="prompt_id")
    members = joined.groupby("group_id")["dataset"].agg(lambda names: sorted(set(names)))
    roles = {name: shares if role == "split" else role for name, (_, role) in tables.items()}
    named = {str(group): [roles[name] for name in names] for group, names in members.items()}
    role_of = {group: _group_role(group, of_group, seed) for group, of_group in named.items()}
    return check_table(prompts.assign(role=prompts["group_id"].map(role_of)), "split", "split")


def digest(frame: pd.DataFrame, table: pd.DataFrame) -> str:
    """Fingerprint of the roles of a dataset's prompts: other datasets change it only where they change a role."""
    roles = table.loc[table["prompt_id"].isin(frame["prompt_id"]), ["prompt_id", "role"]].sort_values("prompt_id")
    return content_id(*roles["prompt_id"], *roles["role"])


def _links(tables: Mapping[str, tuple[pd.DataFrame, RoleOrShares]], ids: pd.Series) -> np.ndarray:
    """Positions in ``ids`` of prompts and of the prompts that they descend from, shape [links, 2]."""
    place = pd.Series(np.arange(len(ids)), index=ids)
    noted = [descent(frame["prompt_id"], frame["meta"]) for frame, _ in tables.values() if "meta" in frame]
    links = pd.concat(noted) if noted else descent([], [])
    return links[links["seed"].isin(place.index)].map(place.get).to_numpy(dtype=int).reshape(-1, 2)


def _group_role(group: str, roles: list[RoleOrShares], seed: int) -> str:
    """The first of ROLES among fixed roles, else among the shares' choices; the corpus gives way to both."""
    position = unit_interval(group, salt=f"split {seed}")
    fixed = [role for role in roles if isinstance(role, str) and role != "corpus"]
    divided = [_by_share(role, position) for role in roles if not isinstance(role, str)]
    return min(fixed or divided or ["corpus"], key=ROLES.index)


def _by_share(shares: Mapping[str, float], position: float) -> str:
    named = [role for role in ROLES if shares.get(role, 0) > 0]
    bounds = np.cumsum([shares[role] for role in named]) / sum(shares[role] for role in named)
    return named[min(int(np.searchsorted(bounds, position, side="right")), len(named) - 1)]
