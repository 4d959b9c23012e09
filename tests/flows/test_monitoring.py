"""The push to a monitor outside Prefect: after a success and only then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from blocks import BackupStore
from engine.config.settings import FolderStore
from engine.errors import PlatformOpsError
from flows.verify_backups import verify_backups

pytestmark = pytest.mark.xdist_group("flows")


class Monitor:
    """A push monitor: it remembers the paths that were called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                calls.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/api/push/token"


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    made = Monitor()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def saved_store(folder: Path, address: str) -> str:
    reference = folder / "monitor"
    reference.write_text(address)
    settings = FolderStore(path=str(folder / "store"), monitors={"verify-backups": f"file:{reference}"})
    BackupStore.of(settings).save("watched", overwrite=True)
    return "watched"


def test_a_success_is_pushed_once(prefect_server: str, tmp_path: Path, monitor: Monitor) -> None:
    verify_backups(saved_store(tmp_path, monitor.address))
    assert monitor.calls == ["/api/push/token"]


def test_a_failure_is_not_pushed(prefect_server: str, tmp_path: Path, monitor: Monitor) -> None:
    store = saved_store(tmp_path, monitor.address)
    damaged = tmp_path / "store/platform/cluster/20260101T000000Z-abcd/manifest.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{}")
    with pytest.raises(PlatformOpsError, match="20260101T000000Z-abcd"):
        verify_backups(store)
    assert monitor.calls == []


def test_a_monitor_that_is_down_does_not_spoil_the_run(
    prefect_server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    verify_backups(saved_store(tmp_path, "http://127.0.0.1:9/api/push/hidden-token"))
    assert "the operation itself succeeded" in caplog.text
    assert "hidden-token" not in caplog.text
