"""OR-Bench: harmless prompts that look harmful (subsets or-bench-hard-1k and or-bench-80k), or harmful ones like them
(or-bench-toxic). bench-llm/or-bench on the hub, CC BY 4.0; files of it have no default path."""

from typing import Literal

from pydantic import Field

from trulysafe.data.sources import HARMFUL, Fields, HubName, Row, SourceOptions


class Options(SourceOptions):
    TABLE = "prompts"
    repo: HubName = "bench-llm/or-bench"
    subset: str | None = Field("or-bench-hard-1k", description="Subset (configuration name) of the hub dataset.")
    part: Literal["harmless", "harmful"] | None = None
    """What the prompts are; by default the subset says it: those of or-bench-toxic are harmful."""


def fields(row: Row, options: Options) -> Fields:
    part = options.part or ("harmful" if options.subset == "or-bench-toxic" else "harmless")
    found, category = {"prompt": row.text("prompt")}, {"category": row.optional("category")}
    if part == "harmful":
        return found | {"meta": HARMFUL | category}
    return found | {"risk": "look_alike", "meta": {"harmful": False} | category}
