"""What writes responses: transformers in the job itself, or an engine (``batching.backend``)."""

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from trulysafe.common.vocabulary import NF4, TRANSFORMERS, VLLM_TEMPERATURES
from trulysafe.config.resolved import given_model
from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.tables.sources import LocalLlm
from trulysafe.models.sampling import BACKEND, ENGINES
from trulysafe.plan.paths import Part


class Generation(Part):
    """How models are loaded that write responses, and the code that this adds to their jobs."""

    @property
    def engine(self) -> bool:
        """Whether something else than transformers writes responses."""
        return self.config.batching.backend != TRANSFORMERS

    def spec(self, name: str) -> dict[str, Any]:
        """How to load a model for what it writes."""
        return self._written_by(self.plan.models.spec(name))

    def of_job(self, job: str) -> list[dict[str, Any]]:
        """The policies of a job (:meth:`trulysafe.plan.models.Models.of_job`), to be loaded for what they write."""
        policies = self.plan.models.of_job(job)
        return [{**policy, "model": self._written_by(policy["model"])} for policy in policies]

    @property
    def modules(self) -> list[str]:
        """Modules of the engine, for the fingerprint of jobs that write responses; none without one."""
        return list(ENGINES[self.config.batching.backend]) if self.engine else []

    def of_llm(self, llm: str | None) -> list[str]:
        """The same for jobs that ask a language model, if they load it themselves."""
        return self.modules if llm and isinstance(self.config.llms[llm], LocalLlm) else []

    def of_judges(self, judges: Iterable[str]) -> list[str]:
        """The same for jobs of judges."""
        return self.modules if any(map(self._judge_writes, judges)) else []

    def signed(self, fingerprint: str, modules: Iterable[str]) -> str:
        """The fingerprint of a job's code, with the engine's name where its modules are among those that it loads."""
        return f"{fingerprint} {self.config.batching.backend}" if {*modules} & {*self.modules} else fingerprint

    def writes(self, code: str) -> bool:
        """Whether an engine writes in a job, by its signed code."""
        return self.engine and code.endswith(f" {self.config.batching.backend}")

    def check_environment(self, codes: Iterable[str]) -> None:
        """Raise a :class:`UserError` where jobs are to run, by their signed code, whose engine is not installed."""
        if any(map(self.writes, codes)):
            import_module(self.modules[0]).environment()

    def _judge_writes(self, name: str) -> bool:
        return self.config.judges[name].options.writes or self.plan.evaluate.local_llm(name) is not None

    def _written_by(self, spec: dict[str, Any]) -> dict[str, Any]:
        return {**spec, BACKEND: self.config.batching.backend} if self.engine else spec


def generation_problems(config: Configuration) -> Iterator[str]:
    """What an engine cannot do of what a configuration asks of it: one text per problem."""
    backend = config.batching.backend
    if backend == TRANSFORMERS:
        return
    do = f"or set batching.backend: {TRANSFORMERS}"
    for name, experiment in config.experiments.items():
        if act := next((key for key in ("steer", "best_of") if getattr(experiment, key)), None):
            why = f"it reads or changes states of the model while it answers, which {backend} does not show"
            yield f"experiments.{name}.{act}: {why}. Leave the experiment out, {do} for all arms."
    asked = {name: llm for name, llm in config.llms.items() if isinstance(llm, LocalLlm)}
    low, high = VLLM_TEMPERATURES
    drawn = {f"pools.{name}": pool.temperature for name, pool in config.pools.items()}
    drawn |= {f"llms.{name}": llm.temperature for name, llm in asked.items()}
    for where, temperature in drawn.items():
        if temperature and not low <= temperature <= high:
            accepted = f"0 (greedy) and {low:g} to {high:g}"
            yield f"{where}.temperature: {backend} does not take {temperature:g}. Accepted: {accepted}; {do}."
    writing = [item.model for table in (config.pools, config.experiments) for item in table.values()]
    writing += [llm.model for llm in asked.values()]
    writing += [judge.model for judge in config.judges.values() if judge.model and judge.options.writes]
    for name in dict.fromkeys(writing):
        if given_model(config, name).dtype == NF4:
            why = f"{backend} does not write with weights in 4 bits (nf4)"
            yield f"models.{name}.dtype: {why}. Take bfloat16, {do}."
