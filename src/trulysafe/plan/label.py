"""Labellers and the language models that they ask."""

from functools import cached_property
from typing import Any

from trulysafe.common.kinds import LABELLERS
from trulysafe.config.tables.sources import EndpointLlm, LocalLlm
from trulysafe.plan.paths import Part

PACE = ("concurrency", "timeout", "attempts")
"""Options of a language model that decide how fast it is asked, never what it says."""


class Label(Part):
    """Labellers and the language models that they ask."""

    def files(self, labeller: str | None) -> list[str]:
        """The artefact of a labeller, then the model that it asks; nothing where labels come with the data."""
        if not labeller or labeller not in self.fitted:
            return []
        return [self.results(f"labellers/{labeller}"), *self.llm_files(self.llm(labeller))]

    @cached_property
    def fitted(self) -> list[str]:
        """Labellers with an artefact: all but those whose labels come with the data."""
        return [name for name, labeller in self.config.labellers.items() if labeller.kind != "released"]

    @property
    def pools(self) -> dict[str, str]:
        """Pools whose prompts a labeller labels: pool -> labeller."""
        return {name: pool.labeller for name, pool in self.config.pools.items() if pool.labeller}

    def kind(self, labeller: str | None) -> str | None:
        """The kind of a labeller."""
        return self.config.labellers[labeller].kind if labeller else None

    def code(self, labeller: str | None) -> list[str]:
        """Modules that a job loads by their names to label: of a labeller's kind and of what writes for the language
        model that it asks, for the fingerprint of its code."""
        kind = self.kind(labeller)
        return [LABELLERS.module_name(kind), *self.plan.generation.of_llm(self.llm(labeller))] if kind else []

    def llm(self, labeller: str | None) -> str | None:
        """The language model that a labeller asks."""
        return self.config.labellers[labeller].llm if labeller else None

    def llm_files(self, llm: str | None) -> list[str]:
        """What to wait for before a language model can be asked: a model that a rule trains."""
        asked = self.config.llms[llm] if llm else None
        return self.plan.models.files(asked.model) if isinstance(asked, LocalLlm) else []

    def local_llm(self, labeller: str | None) -> LocalLlm | None:
        """The language model that a labeller asks, if the job itself loads it."""
        llm = self.config.llms.get(self.llm(labeller) or "")
        return llm if isinstance(llm, LocalLlm) else None

    def model(self, labeller: str | None) -> str | None:
        """The model that a job loads to label: that of a labeller which asks a local language model."""
        return llm.model if (llm := self.local_llm(labeller)) else None

    def llm_options(self, name: str | None) -> dict[str, Any]:
        """What of a language model decides answers; where an endpoint is and how fast it is asked are left out."""
        if not name:
            return {}
        llm = self.config.llms[name]
        model = llm.name if isinstance(llm, EndpointLlm) else self.plan.generation.spec(llm.model)
        left_out = {"name", "model", "base_url", "key_variable", *PACE}
        return {"name": name, "model": model} | llm.model_dump(exclude=left_out)

    def llm_client(self, name: str) -> dict[str, Any]:
        """Arguments of :func:`trulysafe.llm.client.open_client`; what decides no answer is no parameter of a rule."""
        llm = self.config.llms[name]
        spec = self.plan.generation.spec(llm.model) if isinstance(llm, LocalLlm) else None
        return {"name": name, "stanza": llm.model_dump(), "cache": self.results(f"llm_cache/{name}"), "spec": spec}
