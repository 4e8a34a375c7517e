"""Labels come with the prompts."""

from pathlib import Path
from typing import Any

from trulysafe.common.errors import UserError
from trulysafe.common.kinds import Frame
from trulysafe.common.kinds import Options as Base


class Options(Base):
    """None."""


def label(frame: Frame, artefact: Path, options: Options, client: Any) -> Frame:
    """The table as it is (UserError: a prompt has no class)."""
    missing = frame["risk"] == ""
    if missing.any():
        example = frame.loc[missing].iloc[0]
        raise UserError(
            f"labeller of kind 'released': {int(missing.sum())} of {len(frame)} prompts carry no risk class, for "
            f"example {example['prompt_id']} of {example['source']}. Use a labeller of kind 'classifier' or 'llm', or "
            "set `risk` in the dataset's options."
        )
    return frame
