"""JailbreakBench behaviours: harmful ones, or the benign ones that look like them. JailbreakBench/JBB-Behaviors, MIT;
from the hub the part is the split."""

from typing import Literal

from pydantic import Field

from trulysafe.data.sources import HARMFUL, Fields, Files, HubName, Row, SkipRowError, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "prompts"
    path: Files = ("jailbreakbench/harmful-behaviors.csv", "jailbreakbench/benign-behaviors.csv")
    urls: Urls = public_files("jailbreakbench")
    repo: HubName = "JailbreakBench/JBB-Behaviors"
    part: Literal["harmful", "benign"] = Field("harmful", description="Side of JailbreakBench to keep.")


def fields(row: Row, options: Options) -> Fields:
    known = options.split if options.from_hub else row.optional("label").replace("safe", "benign")
    if (known or ("harmful" if "Target" in row.values else "benign")) != options.part:
        raise SkipRowError("other part of JailbreakBench")
    prompt, family = row.text("text" if "text" in row.values else "Goal"), row.optional("Category")
    if options.part == "harmful":
        return {"prompt": prompt, "family": family, "meta": HARMFUL | {"category": family}}
    return {"prompt": prompt, "family": family, "risk": "look_alike", "meta": {"harmful": False, "category": family}}
