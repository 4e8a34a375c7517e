"""A hub on this machine: the few routes of huggingface.co that fetching a repository needs."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
INFO = re.compile(r"/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)/revision/(?P<revision>\w+)")
TREE = re.compile(r"/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>\w+)")
FILE = re.compile(r"/(?:datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>\w+)/(?P<name>.+)")


class FakeHub(ThreadingHTTPServer):
    """Serves the folders under ``root`` (``<owner>/<name>``) at one commit; remembers the access tokens it was
    shown."""

    def __init__(self, root: Path, gated: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root, self.gated, self.tokens, self.requests = root, gated, set[str](), list[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def fake_hub(root: Path, gated: str = "") -> Iterator[FakeHub]:
    """A running hub; of the repository ``gated`` it gives files only to those who show a token."""
    hub = FakeHub(root, gated)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join(timeout=10)


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""

    def _answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        self.server.requests.append(path)
        token = self.headers.get("Authorization", "")
        self.server.tokens |= {token.removeprefix("Bearer ")} - {""}
        found = INFO.fullmatch(path) or TREE.fullmatch(path) or FILE.fullmatch(path)
        if found is None or not (self.server.root / found["repo"]).is_dir():
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, body)
        if found["repo"] == self.server.gated and not token:
            return self._send(401, b"", {"X-Error-Code": "GatedRepo"}, body)
        if found["revision"] != COMMIT:
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
        folder = self.server.root / found["repo"]
        names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
        if FILE.fullmatch(path):
            content = (folder / found["name"]).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            return self._send(200, content, {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}, body)
        sizes = {name: (folder / name).stat().st_size for name in names}
        tree = [{"type": "file", "path": name, "size": sizes[name], "oid": "0" * 40} for name in names]
        info = {"id": found["repo"], "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        return self._send(200, json.dumps(tree if TREE.fullmatch(path) else info).encode(), {}, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)
