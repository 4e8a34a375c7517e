"""Over-refusal of each arm where its safety reaches the same level."""

from dataclasses import replace

import pandas as pd

from trulysafe.evaluate.metrics import POOLED
from trulysafe.report.run import Run, in_order
from trulysafe.report.table import Table, cells, spread

CAPTION = (
    "Look-alikes refused at the point of each frontier where the share of harmful prompts handled safely first reaches "
    "the level, interpolated between snapshots of one seed and averaged over the seeds that reach it (their number). "
    "Brackets hold Student's 95% intervals over those seeds, none where all their values are equal. Levels that no "
    "seed reaches are left empty, not extrapolated."
)


def table(run: Run) -> Table | None:
    """One line per arm, one column per level."""
    if run.matched_safety.empty:
        return None
    pooled = in_order(run.matched_safety[run.matched_safety["seed"] == POOLED], run.arms)
    columns = {level: f"at {level:g} safe" for level in sorted(pooled["level"].unique())}
    about = zip(pooled["status"], pooled["reached"], pooled["seeds"], strict=True)
    found = [
        replace(cell, missing=status, note=f" ({reached:.0f} of {seeds:.0f} seeds)")
        for cell, (status, reached, seeds) in zip(cells(pooled, "value"), about, strict=True)
    ]
    lines = pooled.assign(cell=pd.Series(found, index=pooled.index, dtype=object), column=pooled["level"].map(columns))
    return Table(run.matched_safety, spread(lines, columns.values(), {"label": "Arm"}), CAPTION)
