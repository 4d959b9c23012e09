"""What a server answers that is no cluster's usual answer: another time, a page of a proxy, lines without an end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from engine.config.clusters import ClusterSettings
from engine.kubernetes.connection import PODS, Connection
from engine.kubernetes.errors import Away
from engine.kubernetes.objects import DEPLOYMENTS

ITS_TIME = datetime(2020, 11, 30, 12, 0, 0, tzinfo=UTC)


class _Odd(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"{}"
        if "/log" in self.path:
            body = b"x" * 50_000 + b"\nlast\n"
        elif "/pods/" in self.path:
            body = b"<html>busy</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return f"{ITS_TIME:%a, %d %b %Y %H:%M:%S} GMT"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class has it
        """Nothing."""


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Connection]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Odd)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "clusters": [{"name": "odd", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "odd", "context": {"cluster": "odd", "user": "me"}}],
        "current-context": "odd",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    try:
        yield Connection("odd", ClusterSettings(namespace="kerp", manifests="/none", kubeconfig=str(path)))
    finally:
        server.shutdown()
        server.server_close()


def test_the_time_is_the_cluster_s_own(odd: Connection) -> None:
    odd.get(DEPLOYMENTS, "kerp-api")
    assert timedelta(0) <= odd.now() - ITS_TIME < timedelta(seconds=30)


def test_an_answer_that_is_none_is_a_sentence_and_a_line_without_an_end_is_cut(odd: Connection) -> None:
    with pytest.raises(Away, match=r"The API server of odd does not answer .*no JSON"):
        odd.get(PODS, "one")
    with odd.following("one") as lines:
        found = list(lines)
    assert [len(each) for each in found] == [20_000, 4] and found[-1] == "last"
