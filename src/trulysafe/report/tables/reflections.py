"""What arms that look passages up and reflect thought of each request before they answered it."""

import pandas as pd

from trulysafe.report.run import Run, in_order
from trulysafe.report.table import Table

COLUMNS = {
    "answers": "Answers",
    "low": "Risk low",
    "medium": "Risk medium",
    "high": "Risk high",
    "unread": "Not read",
    "without_passages": "Without passages",
    "with_cut_passages": "Passages cut",
    "leaked": "Leaked passages",
}
CAPTION = (
    "Answers of arms that look passages up or reflect on the request, over all seeds, by the risk class of the prompt: "
    "how many of the arm's reflections called the risk low, medium or high, and how many could not be read (it "
    "answered without one then); answers with no passage before the request, and with passages that were cut to fit; "
    "and passages that were passed over because the prompt stood in them. An arm that does not reflect has no risks. "
    "The reflection on each prompt, with its reason, is in the meta of its answer."
)


def table(run: Run) -> Table | None:
    """One line per arm, benchmark and risk class."""
    rows = run.reflections
    if rows.empty:
        return None
    rows = in_order(rows, run.arms).reset_index(drop=True)
    about = {name: rows[name].str.replace("_", " ") for name in ("benchmark", "risk")}
    shown = pd.DataFrame({"Arm": rows["label"], "Benchmark": about["benchmark"], "Prompts": about["risk"]})
    return Table(rows, shown.assign(**{header: rows[name] for name, header in COLUMNS.items()}), CAPTION)
