"""Risk-type labels of BeaverTails test prompts (Equilibrate RLHF); a prompt labelled twice keeps both rows. The release
of arXiv 2502.11555 (Yingshui-Tan/Equilibrate-RLHF, Apache-2.0) relabels prompts of PKU-Alignment/BeaverTails (CC BY-NC
4.0)."""

from trulysafe.common.errors import not_accepted
from trulysafe.data.sources import Fields, Row, SourceOptions, source_options

RISKS = {"EHD": "EHD", "IHD": "IHD", "MHD": "MHD", "OTHER": "other", "No risk": "general"}
"""Released label -> our risk class."""

Options = source_options(__name__, "prompts", "equilibrate_rlhf/beavertails_selected_relabelled.jsonl", REPEATS=True)


def fields(row: Row, options: SourceOptions) -> Fields:
    label = row.text("category")
    if label not in RISKS:
        raise not_accepted(f"{row.where}: category", label, RISKS)
    return {"prompt": row.text("question_y"), "risk": RISKS[label], "meta": {"released_label": label}}
