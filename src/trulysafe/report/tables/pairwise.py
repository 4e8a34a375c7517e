"""Which of two arms a language model prefers, answer by answer."""

import pandas as pd

from trulysafe.report.run import Run, label_of
from trulysafe.report.table import Table, cells

CAPTION = (
    "Answers of two arms to the same prompts at the end of training, compared by a language model that reads each pair "
    "in both orders: win rate of the first arm, ties half. A tie is where the orders disagree, or the model says so; "
    "unread are pairs that it gave no readable answer on, which do not count. Brackets hold 95% intervals from "
    "resampling training seeds and prompt families together."
)


def table(run: Run) -> Table | None:
    """One line per comparison."""
    rows = run.pairwise
    if rows.empty:
        return None
    sides = ([label_of(run.arms, name) for name in rows[side]] for side in ("a", "b"))
    shown = {
        "Comparison": [f"{a} over {b}" for a, b in zip(*sides, strict=True)],
        "Benchmark": rows["benchmark"].str.replace("_", " "),
        "Win rate": cells(rows, "win_rate"),
        "Wins": rows["wins"],
        "Ties": rows["ties"],
        "Losses": rows["losses"],
        "Orders disagree": rows["disagreed"],
        "Unread": rows["unread"],
        "n": rows["n"],
        "Seeds": rows["seeds"],
    }
    return Table(rows, pd.DataFrame(shown), CAPTION)
