"""From a stanza of ``llms`` to a client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trulysafe.llm.cache import AnswerCache
from trulysafe.llm.client import Client
from trulysafe.llm.endpoint import Endpoint
from trulysafe.llm.local import LocalModel
from trulysafe.llm.messages import Backend, Generation
from trulysafe.models.load import Spec

_OF_ENDPOINT = ("revision", "key_variable", "concurrency", "timeout", "attempts", "request")


def open_client(name: str, stanza: Mapping[str, Any], cache: Path | str, spec: Spec | None = None) -> Client:
    """Open the client of a stanza.

    A script takes the arguments from the configuration (``Plan.label.llm_client``), not from the parameters of its
    rule: where an endpoint is and how many requests it takes at once decide no result, and must rerun nothing.

    Args:
        name: key under ``llms``, for the progress bar and errors.
        stanza: what stands there, checked and with all defaults.
        cache: folder of the answers.
        spec: how to load the model of a stanza with ``backend: local``, see :mod:`trulysafe.models.load`.

    Raises:
        UserError: the key's environment variable is not set.
    """
    backend: Backend
    of_template = {"chat_template_kwargs": given} if (given := stanza["chat_template_kwargs"]) else {}
    if stanza["backend"] == "local":
        backend = LocalModel({**(spec or {}), **of_template}, stanza["batch_size"])
    else:
        options = {key: stanza[key] for key in _OF_ENDPOINT}
        options["request"] = {**of_template, **options["request"]}
        backend = Endpoint(stanza["base_url"], stanza["name"], **options)
    generation = Generation(stanza["max_new_tokens"], stanza["temperature"], stanza["top_p"])
    return Client(backend, AnswerCache(cache), generation, f"LLM {name}")
