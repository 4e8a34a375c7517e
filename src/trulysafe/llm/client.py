"""The client: cache first, each request once, every answer kept as it comes, a progress bar.

The cache is on disk, by content: safe to kill, safe to share between jobs, on a network file system too. It is a folder
of JSON-lines files. Every open cache appends to a file of its own, one line per answer in a single write, so that no
two processes write to one file and no locks are needed (locks are unreliable on many cluster file systems). A line that
a killed job left unfinished is skipped on reading; nothing is ever appended to it.
"""

import json
import logging
import os
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from trulysafe.common.errors import UserError
from trulysafe.llm.endpoint import Endpoint
from trulysafe.llm.local import LocalModel
from trulysafe.llm.messages import TOO_LONG, UNANSWERED, Answer, Generation, Request, request_key
from trulysafe.models.load import Spec

logger = logging.getLogger(__name__)
Backend = Endpoint | LocalModel
"""What answers requests: by :meth:`identity` it says what decides an answer beside the request and the generation
options, by :meth:`answers` it yields (index of the request, answer) as answers come."""
_OF_ENDPOINT = ("revision", "key_variable", "concurrency", "timeout", "attempts", "request")


def open_client(name: str, stanza: Mapping[str, Any], cache: Path | str, spec: Spec | None = None) -> "Client":
    """Open the client of the stanza under ``llms`` of that name, checked and with all defaults; with ``backend:
    local``, ``spec`` says how to load the model. UserError: the key's environment variable is not set.

    A script takes the arguments from the configuration (``Plan.label.llm_client``), not from the parameters of its
    rule: where an endpoint is and how many requests it takes at once decide no result, and must rerun nothing.
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


class AnswerCache:
    """Answers by key; the folder is made with the first answer."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._own = self.folder / f"{uuid.uuid4().hex}.jsonl"
        self._lock = threading.Lock()
        self._answers: dict[str, Answer] = {}
        broken = 0
        for line in (line for path in sorted(self.folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()):
            try:
                found = json.loads(line)
                self._answers.setdefault(str(found["key"]), Answer(str(found["text"]), str(found["end"])))
            except (ValueError, KeyError, TypeError):
                broken += 1
        if broken:
            logger.warning("%s: %d unfinished lines were skipped; those answers are asked for again.", folder, broken)

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> Answer | None:
        """The answer under a key, or none."""
        return self._answers.get(key)

    def put(self, key: str, answer: Answer) -> None:
        """Store an answer; it is on disk when this returns."""
        line = json.dumps({"key": key, "text": answer.text, "end": answer.end}, ensure_ascii=True) + "\n"
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._own, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(descriptor, line.encode("ascii"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._answers[key] = answer


class Client:
    """Ask a backend through a cache; the progress bar and errors call it by its name."""

    def __init__(
        self, backend: Backend, cache: AnswerCache, generation: Generation | None = None, name: str = "LLM"
    ) -> None:
        self.backend, self.cache, self.generation, self.name = backend, cache, generation or Generation(), name
        self.counts: Counter[str] = Counter()
        """``asked`` (answered by the backend), ``from_cache``, ``cut_off``, ``rejected`` and ``too_long`` so far, for
        a manifest."""

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer requests, in their order; equal requests are asked once. UserError: the backend gave up, or it took
        none of the requests and has never answered one; answers that had come are in the cache, so the same
        call goes on from there."""
        identity = self.backend.identity()
        keys = [request_key(identity, self.generation, request) for request in requests]
        found = {key: answer for key in keys if (answer := self.cache.get(key)) is not None}
        self.counts["from_cache"] += len(found)
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in found}
        if missing:
            found |= self._answered(missing)
        return [found[key] for key in keys]

    def _answered(self, missing: dict[str, Request]) -> dict[str, Answer]:
        keys, found = list(missing), {}
        try:
            stream = self.backend.answers(list(missing.values()), self.generation)
            for index, answer in tqdm(stream, desc=self.name, total=len(keys), unit="answer", file=sys.stderr):
                found[keys[index]] = answer
                if answer.end not in UNANSWERED:  # another day, or another limit, may let it pass
                    self.cache.put(keys[index], answer)
        except UserError as error:
            kept = f"{len(found)} of {len(keys)} answers had come and are kept"
            raise UserError(f"{error} {kept}; run the same command again to go on.") from error
        ends = Counter(answer.end for answer in found.values())
        self.counts += Counter(asked=len(found), cut_off=ends["length"], **{end: ends[end] for end in UNANSWERED})
        if sum(ends[end] for end in UNANSWERED) == len(keys) > 1 and not len(self.cache):  # or what is left of many
            said, do = "the endpoint rejected", "Check the model, `max_new_tokens` and `request` in its stanza."
            if ends[TOO_LONG]:
                said = "the model's context has no room for answers to"
                do = "Lower `max_new_tokens` in its stanza, or take a model that reads more."
            raise UserError(f"{self.name}: {said} all {len(keys)} requests. {do}")
        return found
