"""A certificate authority for tests: pebble, with a DNS that answers 127.0.0.1 for every name; and one that swaps what it
issues."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from engine.nginx.self_signed import self_signed
from engine.sources.postgres.scratch.socket_and_port import free_port
from tests.engine.hosts.away import eventually
from tests.engine.hosts.parts import program

BLOCKED = "refused.example.test"
_STEADY = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"}
"""Pebble waits, uses a known authorization again and refuses a nonce by chance (one in 20; the client asks once again)."""


@dataclass
class Authority:
    """`directory` is the address of its ACME directory, `bundle` the file by which its own server is known."""

    directory: str
    bundle: Path
    folder: Path
    port: int


@contextmanager
def running_authority(folder: Path, first_port: int, challenge_port: int) -> Iterator[Authority]:
    """Pebble, which asks for challenges at this port of 127.0.0.1."""
    pebble, dns = program("pebble"), program("pebble-challtestsrv")
    folder.mkdir()
    port, dns_port = free_port(first_port), free_port(first_port + 20)
    chain, key = self_signed(("localhost", "127.0.0.1"))
    bundle, private = folder / "bundle.pem", folder / "key.pem"
    bundle.write_bytes(chain)
    private.write_bytes(key)
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": "",
        "certificate": str(bundle),
        "privateKey": str(private),
        "httpPort": challenge_port,
        "tlsPort": 9,
        "domainBlocklist": [BLOCKED],
    }
    (folder / "config.json").write_text(json.dumps({"pebble": config}), encoding="utf8")
    names = [
        dns,
        "-dns01",
        f"127.0.0.1:{dns_port}",
        "-defaultIPv6",
        "",
        "-http01",
        "",
        "-https01",
        "",
        "-tlsalpn01",
        "",
    ]
    names += ["-management", f"127.0.0.1:{free_port(first_port + 40)}"]
    issuer = [pebble, "-config", str(folder / "config.json"), "-dnsserver", f"127.0.0.1:{dns_port}"]
    with (folder / "log").open("wb") as log:
        processes = [
            subprocess.Popen(argv, stdout=log, stderr=log, env=os.environ | _STEADY) for argv in (names, issuer)
        ]
    try:
        made = Authority(f"https://127.0.0.1:{port}/dir", bundle, folder, port)
        eventually(lambda: _answers(made), "pebble answers", 20)
        yield made
    finally:
        for each in processes:
            each.terminate()
            each.wait()


def _answers(authority: Authority) -> bool:
    try:
        context = ssl.create_default_context(cafile=str(authority.bundle))
        return httpx.get(authority.directory, verify=context).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def swapping(authority: Authority, chain: bytes) -> Iterator[Authority]:
    """The same authority, which hands out this chain whatever was asked for."""
    context = ssl.create_default_context(cafile=str(authority.bundle))
    upstream = httpx.Client(base_url=f"https://127.0.0.1:{authority.port}", verify=context)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {
                name: self.headers[name] for name in ("Host", "Content-Type", "User-Agent") if self.headers[name]
            }
            got = upstream.request(self.command, self.path, content=body, headers=headers)
            content = chain if self.path.startswith("/certZ/") and got.is_success else got.content
            self.send_response(got.status_code)
            for name, value in got.headers.items():
                if name.lower() not in ("content-length", "date", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_HEAD = answer  # noqa: N815 - http.server's own names

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.bundle, authority.folder / "key.pem")
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Authority(
            f"https://127.0.0.1:{server.server_port}/dir", authority.bundle, authority.folder, authority.port
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        upstream.close()
