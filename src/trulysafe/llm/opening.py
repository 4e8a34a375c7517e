"""From a stanza of ``llms`` to a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trulysafe.config.load import load
from trulysafe.llm.cache import AnswerCache
from trulysafe.llm.client import Client
from trulysafe.llm.endpoint import Endpoint
from trulysafe.llm.local import LocalModel
from trulysafe.llm.messages import Backend, Generation
from trulysafe.plan.plan import Plan


def open_client(config: Mapping[str, Any], name: str) -> Client:
    """Open the client of a stanza.

    A script gives the whole configuration, not parameters of its rule: where an endpoint is and how many requests it takes at once decide
    no result, and must rerun nothing.

    Args:
        config: the configuration as Snakemake has it.
        name: key under ``llms``.

    Returns:
        A client whose cache is ``results/<scenario>/llm_cache/<name>``.

    Raises:
        UserError: the configuration is not accepted, or the key's environment variable is not set.
    """
    plan = Plan(load(config))
    llm = plan.config.llms[name]
    generation = Generation(llm.max_new_tokens, llm.temperature, llm.top_p)
    if llm.backend == "local":
        backend: Backend = LocalModel(plan.models.spec(llm.model), llm.batch_size)
    else:
        backend = Endpoint(
            llm.base_url,
            llm.name,
            revision=llm.revision,
            key_variable=llm.key_variable,
            concurrency=llm.concurrency,
            timeout=llm.timeout,
            attempts=llm.attempts,
            first_wait=llm.first_wait,
            request=llm.request,
        )
    return Client(backend, AnswerCache(plan.results(f"llm_cache/{name}")), generation, f"LLM {name}")
