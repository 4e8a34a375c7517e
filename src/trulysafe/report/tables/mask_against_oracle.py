"""What a mask keeps of the demo world's re-ranked pairs, against what its oracle says it should."""

import pandas as pd

from trulysafe.report.run import Run
from trulysafe.report.table import Cell, Table

SHARES = {
    "speaking": "Speak for the label",
    "kept": "Kept",
    "precision": "Kept ones that speak for it",
    "recall": "Speaking ones kept",
    "dropped": "Others dropped",
    "auc": "AUC of token rewards",
}
CAPTION = (
    "Tokens of the re-ranked harmful pairs to whose sentence the demo world's oracle gives a side. A mask should keep "
    "those that speak for the label: safe sentences of chosen and unsafe ones of rejected responses. Of what a mask "
    "that knows nothing keeps, as many speak for it as of all; a token reward that knows nothing has AUC 0.5."
)


def table(run: Run) -> Table | None:
    """One line per side and risk class."""
    rows = run.mask_scores
    if rows.empty:
        return None
    counts = rows[["side", "risk", "responses", "tokens"]].rename(columns=str.capitalize)
    shares = rows[list(SHARES)].map(Cell).rename(columns=SHARES)
    return Table(rows, pd.concat([counts, shares], axis=1), CAPTION)
