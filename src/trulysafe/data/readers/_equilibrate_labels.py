"""Prompts with the risk types of the Equilibrate RLHF release, whatever data set they were selected from."""

from trulysafe.common.errors import not_accepted
from trulysafe.data.sources import Fields, Row

RISKS = {"EHD": "EHD", "IHD": "IHD", "MHD": "MHD", "OTHER": "other", "No risk": "general"}
"""Released label -> our risk class."""


def labelled_prompt(row: Row) -> Fields:
    """Prompt and class of a row (UserError: another label)."""
    label = row.text("category")
    if label not in RISKS:
        raise not_accepted(f"{row.where}: category", label, RISKS)
    return {"prompt": row.text("question_y"), "risk": RISKS[label], "meta": {"released_label": label}}
