"""Labellers and the language models that they ask."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from trulysafe.config.tables.sources import EndpointLlm, LocalLlm
from trulysafe.plan.data import Sources

PACE = ("concurrency", "timeout", "attempts", "first_wait")
"""Options of a language model that decide how fast it is asked, never what it says."""


class Labels(Sources):
    """Labellers and the language models that they ask."""

    def labeller_files(self, name: str | None) -> list[str]:
        """The artefact of a labeller, then the model that it asks; nothing where labels come with the data."""
        if not name or name not in self.made_labellers:
            return []
        return [self.results(f"labellers/{name}"), *self.llm_files(self.config.labellers[name].llm)]

    @cached_property
    def made_labellers(self) -> list[str]:
        """Labellers with an artefact: all but those whose labels come with the data."""
        return [name for name, labeller in self.config.labellers.items() if labeller.kind != "released"]

    @property
    def labelled_pools(self) -> dict[str, str]:
        """Pools whose prompts a labeller labels: pool -> labeller."""
        return {name: pool.labeller for name, pool in self.config.pools.items() if pool.labeller}

    def asked_llm(self, labeller: str | None) -> str | None:
        """The language model that a labeller asks."""
        return self.config.labellers[labeller].llm if labeller else None

    def llm_files(self, name: str | None) -> list[str]:
        """What to wait for before a language model can be asked: a model that a rule trains."""
        llm = self.config.llms[name] if name else None
        return self.model_files(llm.model) if isinstance(llm, LocalLlm) else []

    def labelling_model(self, labeller: str | None) -> str | None:
        """The model that a job loads to label: that of a labeller which asks a local language model."""
        llm = self.local_llm(labeller)
        return llm.model if llm else None

    def local_llm(self, labeller: str | None) -> LocalLlm | None:
        """The language model that a labeller asks, if the job itself loads it."""
        asked = self.asked_llm(labeller)
        llm = self.config.llms[asked] if asked else None
        return llm if isinstance(llm, LocalLlm) else None

    def llm_options(self, name: str | None) -> dict[str, Any]:
        """What of a language model decides answers; where an endpoint is and how fast it is asked are left out."""
        if not name:
            return {}
        llm = self.config.llms[name]
        options = {"name": name, "model": llm.name if isinstance(llm, EndpointLlm) else self.model_spec(llm.model)}
        return options | llm.model_dump(exclude={"name", "model", "base_url", "key_variable", *PACE})
