"""A small server that speaks the hub's protocol, and that can be made to misbehave."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DESCRIPTION = "/api/models/org/tiny/revision/main"


@dataclass
class Hub:
    """One public repository, `org/tiny`, with a branch and a tag."""

    files: dict[str, bytes]
    url: str = ""
    asked: list[str] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    """By path, in place of its own."""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        for revision in ("main", "v1", COMMIT):
            if path == f"/api/models/org/tiny/revision/{revision}":
                return 200, {"content-type": "application/json"}, json.dumps(self.description()).encode()
        name = path.removeprefix(f"/org/tiny/resolve/{COMMIT}/")
        if name in self.files:
            return 200, {"x-repo-commit": COMMIT}, self.files[name]
        return 404, {"x-error-code": "RepoNotFound"}, b'{"error": "not found"}'

    def description(self) -> dict:
        siblings = [
            {"rfilename": name, "size": len(body), "blobId": hashlib.sha1(body).hexdigest()}
            for name, body in self.files.items()
        ]
        return {"id": "org/tiny", "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}

    def file(self, name: str) -> str:
        return f"/org/tiny/resolve/{COMMIT}/{name}"


@contextmanager
def serving_hub(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            hub.asked.append(self.path)
            hub.authorizations.add(self.headers.get("authorization"))
            if (special := hub.answers.get(path)) is not None:
                special(self)
            else:
                reply(self, *hub.answer(path))

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in ({"content-length": str(len(body))} | headers).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
