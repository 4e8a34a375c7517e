"""Risk-type labels of BeaverTails test prompts (Equilibrate RLHF); a prompt labelled twice keeps both rows. The release
of arXiv 2502.11555 (Yingshui-Tan/Equilibrate-RLHF, Apache-2.0) relabels prompts of PKU-Alignment/BeaverTails (CC BY-NC
4.0)."""

from trulysafe.common.errors import not_accepted
from trulysafe.data.sources import Fields, Files, Row, SourceOptions, Urls, public_files

RISKS = {"EHD": "EHD", "IHD": "IHD", "MHD": "MHD", "OTHER": "other", "No risk": "general"}
"""Released label -> our risk class."""


class Options(SourceOptions):
    TABLE = "prompts"
    REPEATS = True
    path: Files = ("equilibrate_rlhf/beavertails_selected_relabelled.jsonl",)
    urls: Urls = public_files("beavertails_risk")


def fields(row: Row, options: Options) -> Fields:
    label = row.text("category")
    if label not in RISKS:
        raise not_accepted(f"{row.where}: category", label, RISKS)
    return {"prompt": row.text("question_y"), "risk": RISKS[label], "meta": {"released_label": label}}
