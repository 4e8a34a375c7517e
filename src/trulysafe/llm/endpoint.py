"""An OpenAI-compatible endpoint (`/chat/completions`): vLLM, SGLang, llama.cpp, a commercial one.

Too many requests (429), server errors (5xx), time-outs, lost connections and unreadable bodies are tried again after waits that double,
with jitter, or after what the server asks for in ``Retry-After``. The key comes from an environment variable; it is in no error, log or
manifest, nor is any text of an error body, since bodies quote keys and prompts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import requests
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)

from trulysafe.common.errors import UserError
from trulysafe.llm.messages import Answer, Generation, Request

REJECTED = (400, 413, 422)
"""Status codes that speak of one request, not of the endpoint."""
LONGEST_WAIT = 60.0
"""Longest wait between two attempts, s, unless the server asks for more."""


class _TransientError(Exception):
    """Worth another attempt."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class Endpoint:
    """A model behind an OpenAI-compatible HTTP endpoint.

    Args:
        base_url: address without ``/chat/completions``, such as ``http://localhost:8000/v1``.
        model: name that the endpoint knows the model by.
        revision: whatever tells versions of the model apart; part of the identity, never sent.
        key_variable: environment variable that holds the key; none sends no key.
        concurrency: requests in flight at most.
        timeout: s to wait for a connection and for an answer.
        attempts: attempts per request.
        first_wait: upper end of the first wait, s; waits double from there.
        request: further fields of the request body, such as ``{"response_format": {"type": "json_object"}}``; None leaves a field out that
            the endpoint does not take, such as ``{"max_tokens": None, "max_completion_tokens": 512}``.

    Raises:
        UserError: the address is no http(s) URL or holds a user or password, or the environment variable is not set.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        revision: str | None = None,
        key_variable: str | None = None,
        concurrency: int = 8,
        timeout: float = 120.0,
        attempts: int = 6,
        first_wait: float = 1.0,
        request: Mapping[str, Any] | None = None,
    ) -> None:
        check_address(base_url)
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._model, self._revision, self._request = model, revision, dict(request or {})
        self._auth = _Bearer(_key(key_variable) if key_variable else "")
        self._concurrency, self._timeout = concurrency, timeout
        self._attempts, self._wait = attempts, wait_random_exponential(multiplier=first_wait, max=LONGEST_WAIT)
        self._local = threading.local()

    def identity(self) -> Mapping[str, Any]:
        """Model, revision and further fields; not the address, since a server moves from node to node."""
        return {"backend": "endpoint", "model": self._model, "revision": self._revision, "request": self._request}

    def answers(self, requests: Sequence[Request], generation: Generation) -> Iterator[tuple[int, Answer]]:
        """Answers as they come.

        Raises:
            UserError: an address, model or key that is refused, or a request that failed at every attempt. Answers to requests in
                flight are waited for and yielded first; no other request is sent.
        """
        failure: UserError | None = None
        left = iter(enumerate(requests))
        flying: dict[Future[Answer], int] = {}
        stop = threading.Event()
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="endpoint") as pool:
            try:
                while True:
                    wanted = 0 if failure else self._concurrency - len(flying)
                    for index, request in islice(left, wanted):
                        flying[pool.submit(self._answer, request, generation, stop)] = index
                    if not flying:
                        break
                    for future in wait(flying, return_when=FIRST_COMPLETED).done:
                        index = flying.pop(future)
                        try:
                            answer = future.result()
                        except UserError as error:
                            failure = failure or error
                            stop.set()
                        else:
                            yield index, answer
            finally:
                stop.set()  # an interrupted job must not wait for further attempts
        if failure is not None:
            raise failure

    def _answer(self, request: Request, generation: Generation, stop: threading.Event) -> Answer:
        retrying = Retrying(
            retry=retry_if_exception_type(_TransientError),
            stop=stop_after_attempt(self._attempts) | stop_when_event_set(stop),
            wait=self._pause,
            sleep=sleep_using_event(stop),
            reraise=True,
        )
        try:
            return retrying(self._once, request, generation)
        except _TransientError as error:
            raise UserError(
                f"{self._url}: {error}, at the last of up to {self._attempts} attempts. Check that the endpoint is up, or lower `concurrency`."
            ) from error

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return max(self._wait(state), error.after if isinstance(error, _TransientError) else 0.0)

    def _once(self, request: Request, generation: Generation) -> Answer:
        body = {
            "model": self._model,
            "messages": request.as_messages(),
            "max_tokens": generation.max_new_tokens,
            "temperature": generation.temperature,
            "top_p": generation.top_p,
            **({"seed": request.sample} if generation.temperature > 0 else {}),
            **self._request,
        }
        body = {name: value for name, value in body.items() if value is not None}
        try:
            reply = self._session().post(
                self._url, json=body, auth=self._auth, timeout=self._timeout, allow_redirects=False
            )
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise _TransientError(f"no answer ({type(error).__name__})") from None
        if reply.status_code == 429 or reply.status_code >= 500:
            raise _TransientError(f"status {reply.status_code}", _seconds(reply.headers.get("Retry-After")))
        if reply.status_code in REJECTED:
            return Answer("", "rejected")
        if reply.status_code != 200:
            raise UserError(f"{self._url}: status {reply.status_code}. {_advice(reply.status_code, self._model)}")
        return _parsed(reply)

    def _session(self) -> requests.Session:
        """A session per thread: connections are kept open, and sessions are not made to be shared."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session


class _Bearer(requests.auth.AuthBase):
    """The key as a header. As an `auth` of its own it also keeps a .netrc file from supplying another."""

    def __init__(self, key: str) -> None:
        self._header = f"Bearer {key}" if key else ""

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header:
            r.headers["Authorization"] = self._header
        return r


def check_address(base_url: str) -> None:
    """Check the address of an endpoint.

    Raises:
        UserError: it is no http(s) URL, or it holds a user or password, which would end up in logs.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError("base_url is not an address. Accepted: http(s)://host[:port]/v1.")
    if parts.username or parts.password or parts.query:
        raise UserError(
            "base_url holds a user, a password or a query, which logs would show. Give the key by `key_variable`."
        )


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"The environment variable {variable}, which `key_variable` names, is not set. Export the key.")
    return key


def _seconds(retry_after: str | None) -> float:
    """``Retry-After`` as seconds; a date counts as nothing, and no server may stop a run for more than ten minutes."""
    try:
        return min(max(float(retry_after or 0), 0.0), 600.0)
    except ValueError:
        return 0.0


def _advice(status: int, model: str) -> str:
    if status in (401, 403):
        return "The endpoint refuses the key. Check the environment variable that `key_variable` names."
    if status == 404:
        return f"Check `base_url` (it ends before /chat/completions) and whether the endpoint serves {model!r}."
    return "Check `base_url` and `name` in the stanza under llms."


def _parsed(reply: requests.Response) -> Answer:
    try:
        choice = reply.json()["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise _TransientError("a body that is no chat completion") from None
    if choice.get("finish_reason") == "content_filter":
        return Answer("", "rejected")
    return Answer(str(text or "").strip(), "length" if choice.get("finish_reason") == "length" else "stop")
