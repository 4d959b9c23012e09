"""A small web server on 127.0.0.1 that remembers what it was told: a chat's webhook, a push monitor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer


@dataclass(frozen=True)
class Call:
    """One request: when (monotonic seconds), its path and its body."""

    at: float
    path: str
    body: str


@dataclass
class Webhook:
    """What came in so far. `address` takes any path after it."""

    address: str
    calls: list[Call] = field(default_factory=list)

    def bodies(self, part: str) -> list[str]:
        """The bodies that contain `part`."""
        return [call.body for call in self.calls if part in call.body]


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A running one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            heard.calls.append(Call(time.monotonic(), self.path, body))
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the name http.server looks for

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    heard = Webhook(f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
