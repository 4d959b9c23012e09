"""The push to a monitor outside Prefect: after a success and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from blocks import BackupStore
from engine.config.settings import FolderStore
from engine.errors import PlatformOpsError
from engine.stores.folder import FolderStore as Stored
from flows.verify_backups import verify_backups
from tests.engine.repository.made import a_key, store_set
from tests.webhook import Webhook

pytestmark = pytest.mark.xdist_group("flows")


def saved_store(folder: Path, address: str) -> str:
    reference = folder / "monitor"
    reference.write_text(address)
    settings = FolderStore(path=str(folder / "store"), monitors={"verify-backups": f"file:{reference}"})
    store_set(Stored("local", folder / "store"), a_key("2026-02-07 17:00"))
    BackupStore.of(settings).save("watched", overwrite=True)
    return "watched"


def test_a_success_is_pushed_once(prefect_server: str, tmp_path: Path, monitor: Webhook) -> None:
    verify_backups(saved_store(tmp_path, f"{monitor.address}api/push/token"))
    assert [call.path for call in monitor.calls] == ["/api/push/token"]


def test_a_failure_is_not_pushed(prefect_server: str, tmp_path: Path, monitor: Webhook) -> None:
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
