"""An HTTP proxy on 127.0.0.1 that injects faults between a store and a real S3 server.

A request is read whole, then the first rule that matches and has turns left decides. Host is passed
on unchanged, so that the server behind still accepts the signature.
"""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, cast
from urllib.parse import urlsplit

Fault = Literal[
    "reset", "stall", "500", "200-with-error", "refuse", "damage", "lose-answer", "cut", "html", "flip", "no-uploads"
]
ALWAYS = 10**9
_ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>injected</Message></Error>"
_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")


@dataclass
class Rule:
    """Inject `fault` into requests of `method` whose path and query contain `part`, `turns` times."""

    method: str
    part: str
    fault: Fault
    turns: int
    injected: int = 0

    def takes(self, method: str, path: str) -> bool:
        if self.injected >= self.turns or method != self.method or self.part not in path:
            return False
        self.injected += 1
        return True


class Proxy(ThreadingHTTPServer):
    """`url` is where a store connects; `requests` is what came, as `METHOD path?query`, `headers` with what."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.rules: list[Rule] = []
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.over = threading.Event()
        self.chance = random.Random(0)  # noqa: S311
        self._lock = threading.Lock()

    def inject(self, method: str, part: str, fault: Fault, turns: int = ALWAYS) -> Rule:
        rule = Rule(method, part, fault, turns)
        self.rules.append(rule)
        return rule

    def decide(self, method: str, path: str, headers: dict[str, str]) -> Fault | None:
        with self._lock:
            self.headers.append(headers)
            self.requests.append(f"{method} {path}")
            return next((rule.fault for rule in self.rules if rule.takes(method, path)), None)

    def flipped(self, content: bytes) -> bytes:
        """An answer with one bit changed."""
        at, bit = self.chance.randrange(len(content)), self.chance.randrange(8)
        return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]

    def handle_error(self, request: object, client_address: object) -> None:
        """A store that gave up closes its connection: that is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing to standard error."""

    def _serve(self) -> None:
        proxy = cast(Proxy, self.server)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = proxy.decide(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        if fault == "reset":
            self._reset()
        elif fault == "stall":
            proxy.over.wait(60)
            self._reset()
        elif fault == "500":
            self._answer(500, _ERROR.format("InternalError").encode())
        elif fault == "200-with-error":
            self._answer(200, _ERROR.format("InternalError").encode())
        elif fault == "refuse":
            self._answer(400, _ERROR.format("EntityTooSmall").encode())
        elif fault == "no-uploads":
            self._answer(
                200, b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
            )
        elif fault == "html":
            self._answer(200, b"<html><body>Welcome to the router!</body>")
        else:
            self._forward(fault, bytes([body[0] ^ 1]) + body[1:] if fault == "damage" else body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _forward(self, fault: Fault | None, body: bytes) -> None:
        upstream = cast(Proxy, self.server).upstream
        connection = http.client.HTTPConnection(str(upstream.hostname), upstream.port, timeout=30)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
            if fault == "lose-answer":
                self._reset()
            else:
                if fault == "flip" and content:
                    content = cast(Proxy, self.server).flipped(content)
                self._pass_on(answer, content, cut=fault == "cut")
        finally:
            connection.close()

    def _pass_on(self, answer: http.client.HTTPResponse, content: bytes, *, cut: bool) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if answer.status != 204:
            self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self._reset()

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        linger_not = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        self.connection.close()


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join()
