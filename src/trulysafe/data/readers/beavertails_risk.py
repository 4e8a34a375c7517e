"""Risk-type labels of BeaverTails test prompts (Equilibrate RLHF); a prompt labelled twice keeps both rows. The release
of arXiv 2502.11555 (Yingshui-Tan/Equilibrate-RLHF, Apache-2.0) relabels prompts of PKU-Alignment/BeaverTails (CC BY-NC
4.0)."""

from trulysafe.data.readers._equilibrate_labels import labelled_prompt
from trulysafe.data.sources import Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "prompts", "equilibrate_rlhf/beavertails_selected_relabelled.jsonl", REPEATS=True)


def fields(row: Row, options: SourceOptions) -> Fields:
    return labelled_prompt(row)
