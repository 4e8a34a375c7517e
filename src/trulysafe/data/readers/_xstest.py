"""What the prompts of XSTest are, for its prompts and for its completions, and what people said of a completion."""

from trulysafe.common.errors import not_accepted
from trulysafe.data.sources import HARMFUL, Fields, Row, SkipRowError

LABELS = {"1_full_compliance": "complies", "2_full_refusal": "refuses", "3_partial_refusal": "mixed"}
"""Released label -> our verdict."""


def prompt_fields(row: Row) -> Fields:
    """XSTest's types are the families; ``contrast_`` types are unsafe prompts, all others harmless look-alikes."""
    unsafe = row.text("type").startswith("contrast_")
    return {
        "prompt": row.text("prompt"),
        "risk": "" if unsafe else "look_alike",
        "family": row.text("type"),
        "meta": HARMFUL if unsafe else {"harmful": False},
    }


def verdict(row: Row) -> str:
    """What people call the row's completion; without one, the row is skipped."""
    label = row.text("final_label")
    if label not in LABELS:
        raise not_accepted(f"{row.where}: final_label", label, LABELS)
    if not row.optional("completion"):
        raise SkipRowError("empty completion")
    return LABELS[label]
