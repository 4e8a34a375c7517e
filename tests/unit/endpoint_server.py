"""A small OpenAI-compatible endpoint on localhost, which fails when it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.unit.local_server import running


@dataclass
class Reply:
    """What the server sends; ``delay`` in s comes first, and ``body`` replaces the completion."""

    text: str = ""
    status: int = 200
    delay: float = 0.0
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    finish: str = "stop"
    drop: bool = False

    def payload(self) -> bytes:
        if self.body is not None:
            return self.body
        choice = {"index": 0, "finish_reason": self.finish, "message": {"role": "assistant", "content": self.text}}
        return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


class Served:
    """What was asked: bodies and headers in order, and how many requests were in flight at once."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.url = ""

    @property
    def users(self) -> list[str]:
        """The last user's turn of every request."""
        return [body["messages"][-1]["content"] for body in self.bodies]


@contextmanager
def serve(behaviour: Callable[[int, dict[str, Any]], Reply]) -> Iterator[Served]:
    """Serve until the block ends; ``behaviour`` gets the number of the request (from 0) and its body."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with served.lock:
                number = len(served.bodies)
                served.bodies.append(body)
                served.headers.append({name.title(): value for name, value in self.headers.items()})
                served.in_flight += 1
                served.most_in_flight = max(served.most_in_flight, served.in_flight)
            reply = behaviour(number, body) if self.path == "/v1/chat/completions" else Reply(status=404, body=b"{}")
            time.sleep(reply.delay)
            with served.lock:
                served.in_flight -= 1
            if reply.drop:
                self.close_connection = True
                return
            payload = reply.payload()
            self.send_response(reply.status)
            length = str(len(payload))
            for name, value in {"Content-Length": length, **reply.headers}.items():
                self.send_header(name, value)
                self.close_connection |= name == "Content-Length" and value != length
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # the client went away, as it does after a time-out

    server = Server(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    with running(server):
        yield served
