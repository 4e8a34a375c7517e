"""The client: cache first, each request once, every answer kept as it comes, a progress bar."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from tqdm import tqdm

from trulysafe.common.errors import UserError
from trulysafe.llm.cache import AnswerCache
from trulysafe.llm.messages import Answer, Backend, Generation, Request, request_key


class Client:
    """Ask a backend through a cache.

    Args:
        backend: who answers.
        cache: where answers are kept.
        generation: how answers are drawn.
        name: what the progress bar and errors call it.
    """

    def __init__(
        self, backend: Backend, cache: AnswerCache, generation: Generation | None = None, name: str = "LLM"
    ) -> None:
        self.backend = backend
        self.cache = cache
        self.generation = generation or Generation()
        self.name = name
        self.counts: Counter[str] = Counter()
        """``asked`` (answered by the backend), ``from_cache``, ``cut_off`` and ``rejected`` so far, for a manifest."""

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer requests, in their order; equal requests are asked once.

        Raises:
            UserError: the backend gave up, or it rejected every single request and has never answered one. Answers
                that had come are in the cache, so the same call goes on from there.
        """
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
                if answer.end != "rejected":  # another day, or another limit, may let it pass
                    self.cache.put(keys[index], answer)
        except UserError as error:
            raise UserError(
                f"{error} {len(found)} of {len(keys)} answers had come and are kept; run the same command again to go "
                "on."
            ) from error
        ends = Counter(answer.end for answer in found.values())
        self.counts += Counter(asked=len(found), cut_off=ends["length"], rejected=ends["rejected"])
        if ends["rejected"] == len(keys) > 1 and not len(self.cache):  # or these are what is left of many
            raise UserError(
                f"{self.name}: the endpoint rejected all {len(keys)} requests. Check the model, `max_new_tokens` and "
                "`request` in its stanza."
            )
        return found
