"""The demo world: generated tables of mild prompts whose every answer can be classed exactly
(:mod:`trulysafe.data.demo`). Nothing is read, so the module makes its table whole, in ``made`` in place of
``fields``."""

from typing import Literal, get_args

from pydantic import Field, StrictInt

from trulysafe.common.kinds import Frame
from trulysafe.data.sources import Most, ReaderOptions, TableKind

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


class Options(ReaderOptions):
    part: Part = Field(description="Part of the world, which decides the kind of table.")
    world: StrictInt = Field(description="Seed of the world: which entities are risky, which questions there are.")
    rows: Most = Field(description="Number of rows.")
    seed: StrictInt = Field(0, description="Seed of the rows.")

    @property
    def table_kind(self) -> TableKind:
        """Kind of table that the part is."""
        return PARTS[self.part]


def made(options: Options) -> Frame:
    """Make the table."""
    from trulysafe.data.demo.tables import table

    return table(options.part, world=options.world, rows=options.rows, seed=options.seed)
