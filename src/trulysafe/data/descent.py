"""Which prompts a synthesised prompt descends from: noted in its ``meta``, honoured by the split, checked for
leakage."""

import json
from collections.abc import Iterable

import pandas as pd

DESCENT = "descends_from"
"""Key of ``meta``: ids of the prompts that a prompt was made of."""


def descent(ids: Iterable[str], metas: Iterable[str]) -> pd.DataFrame:
    """The prompts that prompts descend from: columns ``prompt_id`` and ``seed``, one row per prompt and seed. ``metas``
    are their ``meta`` as JSON; those that note no descent give no row."""
    noted = ((identifier, json.loads(meta)) for identifier, meta in zip(ids, metas, strict=True) if DESCENT in meta)
    found = [(identifier, str(seed)) for identifier, facts in noted for seed in facts.get(DESCENT) or ()]
    return pd.DataFrame(found, columns=["prompt_id", "seed"]).drop_duplicates(ignore_index=True)
