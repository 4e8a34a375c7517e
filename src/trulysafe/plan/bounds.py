"""More pairs asked of a pool than it has prompts for: refused right after labelling, before anything is sampled.

What a pool will give is known only when its samples are ranked, but never more than its prompts of a class times the
pairs of a prompt. Whatever passes here may still be too much for the rule ``mix``, which counts pairs.
"""

from collections import Counter
from collections.abc import Callable

import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.config.tables.preferences import Pairs
from trulysafe.pairs.mix import wanted_strata
from trulysafe.plan.plan import Plan

Read = Callable[[str], pd.DataFrame]


def refuse_too_many(plan: Plan, pool: str, prompts: pd.DataFrame, read: Read) -> None:
    """Hold the mixes that are drawn from a pool against its labelled prompts; ``read`` reads a data set by its path. A
    mix is passed over where its bound is not known yet: it draws from another pool as well, or from annotated pairs
    that a labeller labels. The UserError names the mix, its key, the class, and what can be had at most."""
    config = plan.config
    for name, mix in config.mixes.items():
        tables = [config.pairs[table] for table in mix.pairs]
        if not plan.pairs.draws(name) or not any(table.pool == pool for table in tables):
            continue
        most: Counter[str] = Counter()
        bounds = [_bound(plan, pool, prompts, table, read) for table in tables]
        for bound in bounds:
            most += bound or Counter()
        for risks, count, key in wanted_strata(**mix.composition) if None not in bounds else ():
            have, labelled = sum(most[risk] for risk in risks), int(prompts["risk"].isin(risks).sum())
            if count > have:
                source = f"the {labelled} prompts of that class in pool {pool!r}, with annotated pairs that it may draw"
                do = f"add prompts of that class (pools.{pool}.datasets, pools.{pool}.rows). Nothing was sampled yet."
                asked = f"{count} pairs of class {'/'.join(risks)} asked, but {source}, give at most {have}"
                raise UserError(f"mixes.{name}.{key}: {asked}. Ask for at most {have}, or {do}")


def _bound(plan: Plan, pool: str, prompts: pd.DataFrame, table: Pairs, read: Read) -> Counter[str] | None:
    """Pairs of each class that a table can hold at most; none where that is not known yet."""
    if table.source == "rerank":
        if table.pool != pool:
            return None
        each = table.per_prompt(plan.config.pools[pool].samples)
        counts = {str(risk): each * count for risk, count in prompts["risk"].value_counts().items()}
    elif table.labeller:
        return None
    else:
        risks = pd.concat([read(path)["risk"] for path in plan.data.tables(table.datasets)])
        counts = {str(risk): count for risk, count in risks.value_counts().items()}
    return Counter({risk: min(int(count), table.rows or int(count)) for risk, count in counts.items()})
