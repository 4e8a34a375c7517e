"""HarmBench text behaviours. centerforaisafety/HarmBench, MIT."""

from typing import Literal

from trulysafe.data.sources import HARMFUL, Fields, Files, Row, SkipRowError, SourceOptions, Urls, public_files


class Options(SourceOptions):
    TABLE = "prompts"
    path: Files = ("harmbench/harmbench_behaviors_text_all.csv",)
    urls: Urls = public_files("harmbench")
    categories: list[Literal["standard", "contextual", "copyright"]] | None = None
    """Functional categories to keep; all by default."""


def fields(row: Row, options: Options) -> Fields:
    category = row.text("FunctionalCategory")
    if options.categories is not None and category not in options.categories:
        raise SkipRowError(f"functional category {category}")
    parts = [row.optional("ContextString"), row.text("Behavior")]
    topic = row.optional("SemanticCategory")
    meta = HARMFUL | {"category": topic, "kind": category, "behavior_id": row.optional("BehaviorID")}
    return {"prompt": "\n\n---\n\n".join(filter(None, parts)), "family": topic, "meta": meta}
