"""The selection of WildChat prompts with risk-type labels that Equilibrate RLHF is tested on; a prompt labelled twice
keeps both rows. From the release of arXiv 2502.11555 (Yingshui-Tan/Equilibrate-RLHF, Apache-2.0), whose file is known
here by its Git id alone and is taken to have the columns of its BeaverTails selection; allenai/WildChat, ODC-BY."""

from trulysafe.data.readers._equilibrate_labels import labelled_prompt
from trulysafe.data.sources import Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "prompts", "equilibrate_rlhf/wildchat_selected_relabelled.json", REPEATS=True)


def fields(row: Row, options: SourceOptions) -> Fields:
    return labelled_prompt(row)
