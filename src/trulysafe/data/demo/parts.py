"""The parts of the demo world that a configuration can name."""

from typing import Literal, get_args

from trulysafe.data.sources import TableKind

_Prompts = Literal["risk_labels", "harmful", "development", "test"]
_Responses = Literal["corpus", "judged"]
_Pairs = Literal["preferences", "general_pairs", "look_alike_pairs"]
Part = Literal[_Prompts, _Responses, _Pairs]
PARTS: dict[Part, TableKind] = {
    **dict.fromkeys(get_args(_Prompts), "prompts"),
    **dict.fromkeys(get_args(_Responses), "responses"),
    **dict.fromkeys(get_args(_Pairs), "pairs"),
}
"""Part -> kind of table (``trulysafe.common.schema.SCHEMAS``)."""
