"""A second store in a real flow run: what it missed ends the run as Failed, and the next backup run makes it up."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort

from blocks import BackupStore
from engine.config.settings import FolderStore as FolderSettings
from engine.errors import PartialSuccess
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.sources.registry import default_retention
from engine.stores.folder import FolderStore
from flows.nightly_backup import nightly_backup
from tests.blocks.made import ServerBlock
from tests.flows.conftest import Platform

pytestmark = pytest.mark.xdist_group("flows")


def sets(folder: Path) -> set[SetKey]:
    return {one.key for one in catalogue(Repository(FolderStore("any", folder))).sets}


def last_state() -> tuple[str, str]:
    """Type and message of the newest flow run's state."""
    with get_client(sync_client=True) as client:
        [run] = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    assert run.state is not None
    return run.state.type.value, run.state.message or ""


def test_a_second_store_that_missed_a_backup_run(platform: Platform, tmp_path: Path) -> None:
    server = ServerBlock.named("platform").settings()
    disk = tmp_path / "disk"
    offsite = FolderSettings(
        path=str(disk / "offsite"), recipients=platform.repository.recipients, retention=default_retention()
    )
    BackupStore.of(offsite).save("offsite", overwrite=True)
    ServerBlock.of(server.model_copy(update={"copies": ("offsite",)})).save("platform", overwrite=True)
    try:
        with pytest.raises(PartialSuccess, match="the copy to offsite was not made"):
            nightly_backup("platform")
        kind, message = last_state()
        assert kind == "FAILED"
        assert "The first store, nightly, has everything" in message
        first = sets(platform.store)
        assert {key.name for key in first} == {"", "desk", "hub", "postgres", "template1"}

        disk.mkdir()
        nightly_backup("platform")
        assert last_state()[0] == "COMPLETED"
        assert len(sets(platform.store)) == 2 * len(first)
        assert sets(disk / "offsite") == sets(platform.store)
    finally:
        ServerBlock.of(server).save("platform", overwrite=True)
