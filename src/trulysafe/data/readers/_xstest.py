"""What the prompts of XSTest are, for its prompts and for its completions."""

from trulysafe.data.records import Row
from trulysafe.data.sources import HARMFUL, Fields


def prompt_fields(row: Row) -> Fields:
    """XSTest's types are the families; ``contrast_`` types are unsafe prompts, all others harmless look-alikes."""
    unsafe = row.text("type").startswith("contrast_")
    return {
        "prompt": row.text("prompt"),
        "risk": "" if unsafe else "look_alike",
        "family": row.text("type"),
        "meta": HARMFUL if unsafe else {"harmful": False},
    }
